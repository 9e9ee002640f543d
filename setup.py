"""Packaging; tool settings are in pyproject.toml."""

import pathlib

import setuptools

_DOCS = ['mkdocs-material', 'mkdocstrings[python]']
_CONVERT = ['jax2onnx', 'onnx', 'onnxruntime', 'safetensors', 'torch']

setuptools.setup(
  name='bfjax',
  version='0.1.0',
  description='Face recognition trained on noisy labels, in JAX',
  long_description=pathlib.Path(__file__).with_name('README.md').read_text(),
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  license_files=['LICENSE'],
  python_requires='>=3.11,<3.14',
  packages=[
    *setuptools.find_packages(include=['bfjax', 'bfjax.*']),
    'bfjax.configs',
  ],
  # Beside the package in a checkout, where users read and copy them.
  package_dir={'bfjax.configs': 'configs'},
  package_data={
    'bfjax.planning': ['*.toml'],
    'bfjax.report': ['*.html', '*.css', '*.js'],
  },
  install_requires=[
    'absl-py',
    'argcomplete',
    'array_record',
    'clu',
    'flax',
    'jax>=0.10.2',
    'jinja2',
    'matplotlib',
    'ml-collections',
    'numpy',
    'opencv-python-headless>=5',
    'optax',
    'orbax-checkpoint',
    'pillow',
    'pyarrow',
    'scipy',
    # CLU writes its summaries with it and does not ask for it.
    'tensorboard',
    'tensorflow; platform_machine != "x86_64"',
    # The same library without the code for GPUs, which are JAX's here.
    'tensorflow-cpu; platform_machine == "x86_64"',
    'tensorflow-datasets',
    'tqdm',
  ],
  extras_require={
    # A detector of faces with its weights; it runs on TensorFlow.
    'align': ['mtcnn'],
    # What tools/benchmark.py clean is compared with.
    'benchmark': ['cleanlab'],
    'cuda': ['jax[cuda12]'],
    # Checkpoints of PyTorch and ONNX.
    'convert': _CONVERT,
    'fuzz': ['atheris; platform_machine == "x86_64"'],
    # Pages are tried in Chromium.
    'browser': ['selenium'],
    'docs': _DOCS,
    'test': [
      *_CONVERT,
      *_DOCS,
      'faiss-cpu',
      'hypothesis',
      'ipykernel',
      'mtcnn',
      'mypy',
      'nbclient',
      'nbformat',
      'psutil',
      'pytest',
      'pytest-xdist',
      'ruff',
      'scikit-learn',
      'scipy',
    ],
  },
  entry_points={'console_scripts': ['bfjax = bfjax.__main__:main']},
)
