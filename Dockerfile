# One image with the operator, the workers, the gateway, the command line and the migrations; what a container is, its
# command says. `make image` builds it; docs/how-to/build-a-worker-image.md derives one with nodes of your own.
#
# BASE_IMAGE needs python3 (3.11 or later) with venv and pip. Name it by digest for a build that anybody can repeat.
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PIP_PROGRESS_BAR=off
# Nobody can write bytecode into a read-only file system, so it is made here, and checked by nothing, since nothing changes
# there. Not of kubernetes' models, which are many, and loaded one by one by what needs them.
ENV COMPILE="-m compileall -q -j 0 --invalidation-mode unchecked-hash -x /kubernetes/(aio/)?client/(models|api)/"
# All files carry this time, 1980, so that the same content makes the same layers.
ENV SOURCE_DATE_EPOCH=315532800
WORKDIR /build
# What builds the wheel and writes the bill of materials. None of it goes into the image.
COPY requirements/image.txt requirements/image.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /tools \
 && python3 -m pip --python /tools/bin/python install --quiet --require-hashes --no-deps -r requirements/image.txt
# What it needs to run: wheels only, so that no code of theirs runs here.
COPY requirements/runtime.txt requirements/runtime.txt
RUN --mount=type=cache,target=/root/.cache/pip \
    python3 -m venv --without-pip /opt/chaingraph \
 && python3 -m pip --python /opt/chaingraph/bin/python install --quiet --require-hashes --no-deps --no-compile \
      --only-binary :all: -r requirements/runtime.txt \
 && find /opt/chaingraph/lib -type d \( -name tests -o -name test \) -prune -exec rm -rf {} + \
 && /opt/chaingraph/bin/python $COMPILE /opt/chaingraph/lib
COPY pyproject.toml README.md LICENSE ./
COPY crds/chaingraph_crds crds/chaingraph_crds
COPY flow/chaingraph_flow flow/chaingraph_flow
COPY runtime/chaingraph_runtime runtime/chaingraph_runtime
COPY store/chaingraph_store store/chaingraph_store
COPY worker/chaingraph_worker worker/chaingraph_worker
COPY operator/chaingraph_operator operator/chaingraph_operator
COPY gateway/chaingraph_gateway gateway/chaingraph_gateway
COPY cli/chaingraph_cli cli/chaingraph_cli
COPY examples/01-hello.yaml examples/01-hello.yaml
RUN python3 -m pip --python /tools/bin/python wheel --quiet --no-deps --no-build-isolation --wheel-dir dist . \
 && python3 -m pip --python /opt/chaingraph/bin/python install --quiet --no-deps --no-compile dist/*.whl
RUN set -eu; \
    env=/opt/chaingraph; python="$env/bin/python"; site=$("$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
    # Not where it was installed from: that was here.
    rm -f "$site"/*.dist-info/direct_url.json; \
    /tools/bin/cyclonedx-py environment --output-reproducible --output-format JSON --output-file "$env/sbom.cdx.json" \
      --pyproject pyproject.toml --mc-type application "$python"; \
    # For those who add packages of their own: ours keep their versions.
    "$python" -c 'from importlib.metadata import distributions as d; print("\n".join(sorted(f"{e.name}=={e.version}" for e in d())))' \
      >"$env/constraints.txt"; \
    "$python" $COMPILE "$site"; \
    mkdir -p /image/etc /image/opt; mv "$env" /image/opt/; \
    (cat /etc/passwd; echo 'chaingraph:x:65532:65532:chaingraph:/tmp:/usr/sbin/nologin') >/image/etc/passwd; \
    (cat /etc/group; echo 'chaingraph:x:65532:') >/image/etc/group; \
    find /image -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +

FROM ${BASE_IMAGE}
COPY --from=build /image/ /
# PIP_PYTHON and PIP_CONSTRAINT: in a derived image, `pip install` puts packages beside ours, and leaves ours alone.
ENV PATH=/opt/chaingraph/bin:$PATH \
    PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    PIP_PYTHON=/opt/chaingraph/bin/python PIP_CONSTRAINT=/opt/chaingraph/constraints.txt \
    HOME=/tmp
USER 65532:65532
WORKDIR /tmp
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE=""
LABEL org.opencontainers.image.title="ChainGraph" \
      org.opencontainers.image.description="Durable flow graphs as Kubernetes resources: operator, worker, gateway, command line" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      dev.chaingraph.sbom="/opt/chaingraph/sbom.cdx.json"
CMD ["chaingraph", "--help"]
