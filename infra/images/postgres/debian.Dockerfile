ARG BASE
FROM ${BASE}
ARG OFFICIAL
ARG PG_MAJOR
ARG PGDATA
ARG DATA_VOLUME

# The user comes before the packages, which would otherwise take any free id.
# policy-rc.d keeps them from starting a server during the build, and createcluster.conf from making data.
RUN set -eu; \
    groupadd --system --gid 999 postgres; \
    useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/bash postgres; \
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; \
    chmod 755 /usr/sbin/policy-rc.d; \
    mkdir /etc/postgresql-common; \
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf; \
    apt-get -qq update; \
    DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -o Dpkg::Options::=--force-confold \
        "postgresql-$PG_MAJOR" "postgresql-$PG_MAJOR-cron" "postgresql-$PG_MAJOR-partman" \
        "postgresql-$PG_MAJOR-pgvector" >/dev/null; \
    rm -rf /usr/sbin/policy-rc.d /var/lib/apt/lists/* /var/cache/apt/*; \
    install --directory --owner=postgres --group=postgres --mode=1777 /var/lib/postgresql "$PGDATA"; \
    install --directory --owner=postgres --group=postgres --mode=3777 /var/run/postgresql; \
    mkdir /docker-entrypoint-initdb.d; \
    echo "listen_addresses = '*'" >>"/usr/share/postgresql/$PG_MAJOR/postgresql.conf.sample"; \
    "/usr/lib/postgresql/$PG_MAJOR/bin/postgres" --version | grep -qF " $PG_MAJOR."

COPY docker-entrypoint.sh /usr/local/bin/

ENV LANG=C.UTF-8 PG_MAJOR=${PG_MAJOR} PGDATA=${PGDATA} \
    PATH=/usr/lib/postgresql/${PG_MAJOR}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LABEL groundwork.stand-in=true groundwork.stand-in-for=${OFFICIAL}
VOLUME ${DATA_VOLUME}
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
EXPOSE 5432
CMD ["postgres"]
