"""The measured parts of `tools/benchmark.py`: a module each, found by name.

A part has `run(*, repeats: int = 5) -> list[timing.Row]`; its file name is
its name on the command line. Parts are imported as `benchmarks.<part>`, with
`tools/` on the path: so it is for a script that lies there. A test puts it
there by `monkeypatch.syspath_prepend`.
"""
