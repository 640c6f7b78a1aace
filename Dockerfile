# Targets: cpu (default), cpu-models (the embedded models trained and baked in), cuda, and slim, which
# serves ONNX files on a CPU and has no torch.
#
#   docker build --build-arg TORCH_INDEX=... --tag tuneserve:0.1.0 .
#   docker build --target cuda --tag tuneserve:0.1.0-cuda .
#
# Every RUN step is one script of deploy/build, which tests/deploy run outside of a container too.
# deploy/README.md says what each argument does.

# To build the same image for ever, give a digest: --build-arg PYTHON_IMAGE=python@sha256:...
ARG PYTHON_IMAGE=python:3.11.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS base
ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
COPY deploy/build /usr/local/lib/tuneserve-build

# --- what is installed: /opt/tuneserve, a virtual environment

FROM base AS dependencies
ARG TORCH_INDEX
COPY pyproject.toml constraints.txt /src/
RUN ["/usr/local/lib/tuneserve-build/install-dependencies.sh", "/opt/tuneserve", "/src", "cpu"]

FROM base AS dependencies-cuda
ARG TORCH_INDEX
COPY pyproject.toml constraints.txt /src/
RUN ["/usr/local/lib/tuneserve-build/install-dependencies.sh", "/opt/tuneserve", "/src", "cuda"]

FROM base AS dependencies-slim
COPY pyproject.toml constraints.txt /src/
RUN ["/usr/local/lib/tuneserve-build/install-dependencies.sh", "/opt/tuneserve", "/src", "slim"]

FROM dependencies AS installed
COPY . /src
RUN ["/usr/local/lib/tuneserve-build/install-project.sh", "/opt/tuneserve", "/src"]

FROM dependencies-cuda AS installed-cuda
COPY . /src
RUN ["/usr/local/lib/tuneserve-build/install-project.sh", "/opt/tuneserve", "/src"]

FROM dependencies-slim AS installed-slim
COPY . /src
RUN ["/usr/local/lib/tuneserve-build/install-project.sh", "/opt/tuneserve", "/src"]

FROM installed AS models
RUN ["/usr/local/lib/tuneserve-build/train-models.sh", "/opt/tuneserve", "/src", "/store"]

# --- what runs

FROM base AS runtime
RUN ["/usr/local/lib/tuneserve-build/add-user.sh", "/", "tuneserve", "10001"]
COPY deploy/healthcheck.py /usr/local/lib/tuneserve-healthcheck.py
ENV PATH=/opt/tuneserve/bin:${PATH} \
    HOME=/home/tuneserve \
    HF_HUB_DISABLE_TELEMETRY=1 \
    SERVE_HOST=0.0.0.0 \
    SERVE_PORT=8000 \
    SERVE_STORE=/store
WORKDIR /home/tuneserve
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=300s --retries=3 \
    CMD ["/usr/local/bin/python3", "-I", "/usr/local/lib/tuneserve-healthcheck.py"]
# The server is process 1: it gets the signals itself and waits for its own children.
ENTRYPOINT ["/opt/tuneserve/bin/tuneserve"]
CMD ["serve"]

FROM runtime AS cuda
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
COPY --from=installed-cuda /opt/tuneserve /opt/tuneserve
VOLUME /store

FROM runtime AS slim
COPY --from=installed-slim /opt/tuneserve /opt/tuneserve
VOLUME /store

FROM runtime AS cpu-models
COPY --from=installed /opt/tuneserve /opt/tuneserve
COPY --from=models --chown=10001:10001 /store /store

FROM runtime AS cpu
COPY --from=installed /opt/tuneserve /opt/tuneserve
VOLUME /store
