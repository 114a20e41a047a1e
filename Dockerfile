# The image that `cog build` makes, without Cog's command: see script/container, which names the arguments.
# PyTorch's wheels bring CUDA with them, and the driver comes from the host: a GPU needs no other base.
ARG BASE=python:3.11-slim
FROM ${BASE}

# A mirror, and a certificate for it: as environment they reach pip. They stay readable in the image's history.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG PIP_CERT
WORKDIR /src
COPY requirements.txt .
# Debian's own Python asks for leave before pip adds to it; other bases do not mind.
RUN PIP_BREAK_SYSTEM_PACKAGES=1 python -m pip install --no-cache-dir -r requirements.txt
RUN echo /src/src > "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/easel.pth"

ARG PACKAGES
RUN if [ -n "$PACKAGES" ]; then apt-get update && apt-get install -y --no-install-recommends $PACKAGES \
    && rm -rf /var/lib/apt/lists/*; fi
RUN useradd --uid 1000 --create-home easel && mkdir /cache && chown easel:easel /src /cache
USER easel
COPY --chown=easel:easel weights weights
COPY --chown=easel:easel LICENSE NOTICE predict.py ./
COPY --chown=easel:easel src src
RUN python -m compileall -q src predict.py \
    && python -c 'from pathlib import Path; from easel.schema import install_schema; install_schema(Path.cwd())'

ARG EASEL_MODEL=emoji
ENV EASEL_MODEL=${EASEL_MODEL} \
    EASEL_CACHE_DIR=/cache \
    EASEL_WEIGHTS_DIR=/weights \
    OMP_WAIT_POLICY=active GOMP_SPINCOUNT=300000 \
    COG_PREDICT_TYPE_STUB=predict.py:Runner \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
EXPOSE 5000
CMD ["python", "-m", "cog.server.http"]
