# The image that `cog build` makes, without Cog's command: see script/container, which names the arguments.
# PyTorch's wheels bring CUDA with them, and the driver comes from the host: a GPU needs no other base.
ARG BASE=python:3.13-slim
# sha256:..., where a build must not follow the tag to a newer image.
ARG BASE_DIGEST
FROM ${BASE}${BASE_DIGEST:+@${BASE_DIGEST}}

# A mirror, and a certificate for it: as environment they reach pip. They stay readable in the image's history.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_CERT
WORKDIR /src
# What to install. By default the lock, which is for Python 3.13, and on another Python the pins of requirements.txt.
ARG REQUIREMENTS
COPY requirements.lock requirements.txt ./
# Debian's own Python asks for leave before pip adds to it; other bases do not mind.
RUN if [ -z "$REQUIREMENTS" ]; then REQUIREMENTS=requirements.lock; \
    python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' || REQUIREMENTS=requirements.txt; fi; \
    if [ "$REQUIREMENTS" = requirements.lock ]; then set -- --require-hashes; \
    else set --; echo "Installing $REQUIREMENTS: what it requires comes in its newest version, unchecked by digest."; fi; \
    PIP_BREAK_SYSTEM_PACKAGES=1 python -m pip install --no-cache-dir "$@" -r "$REQUIREMENTS"
RUN echo /src/src > "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/easel.pth"

ARG PACKAGES
RUN if [ -n "$PACKAGES" ]; then apt-get update && apt-get install -y --no-install-recommends $PACKAGES \
    && rm -rf /var/lib/apt/lists/*; fi
RUN useradd --uid 1000 --create-home easel && mkdir /cache && chown easel:easel /cache
# All of it is root's: who takes over the server cannot change what it runs.
COPY weights weights
COPY LICENSE NOTICE predict.py train.py ./
COPY src src
# Files come with the modes that they have outside: whatever the umask there, others read and do not write.
RUN find . \( -perm /022 -o ! -perm -044 -o -type d ! -perm -011 \) -exec chmod go=rX {} +
RUN python -m compileall -q src predict.py train.py \
    && python -c 'from pathlib import Path; from easel.schema.openapi import install_schema; install_schema(Path.cwd())'

ARG EASEL_MODEL=emoji
ENV EASEL_MODEL=${EASEL_MODEL} \
    EASEL_CACHE_DIR=/cache \
    EASEL_WEIGHTS_DIR=/weights \
    OMP_WAIT_POLICY=active GOMP_SPINCOUNT=300000 \
    COG_PREDICT_TYPE_STUB=predict.py:Runner \
    COG_TRAIN_TYPE_STUB=train.py:train \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER easel
EXPOSE 5000
# A first start may fetch for an hour. The server itself says no when a cancelled prediction does not end.
HEALTHCHECK --interval=30s --timeout=15s --start-period=1h --retries=3 \
    CMD ["python", "-c", "import os, sys; from easel.local.client import read_state; sys.exit(read_state('http://127.0.0.1:' + os.environ.get('PORT', '5000')) not in ('READY', 'BUSY'))"]
CMD ["python", "-m", "cog.server.http"]
