"""Readers of strangers' files, tried on millions made to break them.

`targets` are the readers with files to start from, `mutations` break those
files, `worker` tries the results in a process of its own, and `supervisor`
watches that process: it may neither end, hang nor grow.
"""
