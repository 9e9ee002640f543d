"""Prepares any source of images as a set of TensorFlow Datasets:

    tfds build bfjax/datasets/tfds_builders/faces --file_format=array_record \
      --data_dir=sets --config='{"name": "casia", "source": "imagelist",
        "options": {"root": "/data/casia", "list": "train.txt"}}'

makes the set `faces/casia`. `tools/pack.py --to tfds` writes the same examples
under a name of your own, and goes on after an interruption.
"""

import dataclasses
import functools

import tensorflow_datasets as tfds

from bfjax.data import labelled, sources
from bfjax.datasets import packing
from bfjax.datasets.layouts import tfds as layout


@dataclasses.dataclass(kw_only=True)
class SourceConfig(tfds.core.BuilderConfig):
  """Which images.

  Attributes:
    source: a file of bfjax/data/sources.
    options: what its `build` takes.
  """

  source: str = 'imagelist'
  options: dict = dataclasses.field(default_factory=dict)


class Builder(tfds.core.GeneratorBasedBuilder):
  """The set; its only split is `train`."""

  VERSION = tfds.core.Version('1.0.0')
  url_infos = None  # nothing is downloaded
  builder_config_cls = SourceConfig

  @functools.cached_property
  def _source(self) -> labelled.Source:
    config = self.builder_config
    return sources.build(config.source, **config.options)

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description=layout.DESCRIPTION,
      features=layout.features(self._source),
      supervised_keys=('image', 'label'),
      # TFDS would shuffle; rows are known by their numbers here.
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager):
    del dl_manager
    return {'train': self._generate_examples()}

  def _generate_examples(self):
    source = self._source
    for row, encoded in packing.read_ahead(source, range(source.num_rows)):
      yield row, layout.example(source, row, encoded)
