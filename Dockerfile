# bfjax on a host with NVIDIA GPUs (driver and nvidia-container-toolkit on it):
#
#   docker build --tag bfjax .
#   docker run --gpus all --shm-size 8g --volume /data:/data bfjax \
#     --config=bfjax:ms1mv2 --workdir=/data/runs/mine --config.data.root=/data/faces_emore
#
# CUDA comes with JAX's wheels, so the image needs none of its own.
FROM python:3.12-slim-bookworm

WORKDIR /opt/bfjax
COPY constraints.txt setup.py pyproject.toml README.md LICENSE ./
COPY bfjax bfjax
COPY configs configs
RUN pip install --no-cache-dir --constraint constraints.txt '.[cuda]' \
    && useradd --create-home --uid 1000 bfjax

USER 1000
WORKDIR /home/bfjax
ENTRYPOINT ["bfjax"]
