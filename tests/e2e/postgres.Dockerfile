# Debian's PostgreSQL, for end-to-end tests where no image can be pulled: what the chart and the tests need of the official
# image, and no more. Not for anything else.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
# The official image's user id; and no cluster of Debian's own.
RUN groupadd --gid 999 postgres \
 && useradd --uid 999 --gid 999 --home-dir /var/lib/postgresql --shell /usr/sbin/nologin postgres \
 && mkdir -p /etc/postgresql-common \
 && echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf \
 && apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql \
 && rm -rf /var/lib/apt/lists/* \
 && ln -s "$(ls -d /usr/lib/postgresql/*/bin)" /opt/postgresql
ENV PATH=/opt/postgresql:$PATH PGDATA=/var/lib/postgresql/data
COPY postgres-entrypoint /usr/local/bin/postgres-entrypoint
USER 999:999
ENTRYPOINT ["/usr/local/bin/postgres-entrypoint"]
