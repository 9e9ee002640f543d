"""Packaging; tool settings are in pyproject.toml."""

import pathlib

import setuptools

setuptools.setup(
  name='bfjax',
  version='0.1.0',
  description='Face recognition trained on noisy labels, in JAX',
  long_description=pathlib.Path(__file__).with_name('README.md').read_text(),
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  license_files=['LICENSE'],
  python_requires='>=3.11,<3.14',
  packages=setuptools.find_packages(include=['bfjax', 'bfjax.*']),
  install_requires=[
    'absl-py',
    'clu',
    'flax',
    'jax>=0.10.2,<0.11',  # `runtime` sets flags that others may not know
    'matplotlib',
    'ml-collections',
    'numpy',
    'opencv-python-headless>=5',
    'optax',
    'orbax-checkpoint',
    # CLU writes its summaries with it and does not ask for it.
    'tensorboard',
    'tensorflow; platform_machine != "x86_64"',
    # The same library without the code for GPUs, which are JAX's here.
    'tensorflow-cpu; platform_machine == "x86_64"',
    'tensorflow-datasets',
    'tqdm',
  ],
  extras_require={
    'cuda': ['jax[cuda12]'],
    'test': [
      'hypothesis',
      'psutil',
      'pytest',
      'ruff',
      'scikit-learn',
      'scipy',
      'torch',
    ],
  },
  entry_points={'console_scripts': ['bfjax = bfjax.main:entry']},
)
