#!/usr/bin/env bash
# Starts PostgreSQL with the contract of the official image (its documentation: "How to extend this image"):
# root prepares the folders and becomes postgres; an empty data folder is initialised by a server that listens on the
# socket alone; then the server takes this process's place. Any other command runs as it is.
set -Eeuo pipefail

fail() {
    printf 'Error: %s\n' "$*" >&2
    exit 1
}

# setting NAME [DEFAULT]: exports NAME, taken from the file that NAME_FILE names where that is set.
setting() {
    local name=$1 default=${2-} file_name=$1_FILE
    local file=${!file_name-} value=${!name-}
    if [[ -n $file && -n $value ]]; then
        fail "both $name and $file_name are set; keep one of them."
    fi
    if [[ -n $file ]]; then
        value=$(<"$file")
    fi
    export "$name=${value:-$default}"
    unset "$file_name"
}

read_settings() {
    setting POSTGRES_PASSWORD
    setting POSTGRES_USER postgres
    setting POSTGRES_DB "$POSTGRES_USER"
    setting POSTGRES_INITDB_ARGS
    setting POSTGRES_HOST_AUTH_METHOD scram-sha-256
}

require_password() {
    if [[ -z $POSTGRES_PASSWORD && $POSTGRES_HOST_AUTH_METHOD != trust ]]; then
        fail "Database is uninitialized and superuser password is not specified." \
            "Set POSTGRES_PASSWORD (or POSTGRES_PASSWORD_FILE) to a value that is not empty."
    fi
}

create_folders() {
    mkdir -p "$PGDATA" /var/run/postgresql
    chmod 0700 "$PGDATA" || true
    chmod 03777 /var/run/postgresql || true
}

become_postgres() {
    find "$PGDATA" /var/run/postgresql ! -user postgres -exec chown postgres {} +
    export HOME=/var/lib/postgresql
    exec setpriv --reuid=postgres --regid=postgres --init-groups -- "${BASH_SOURCE[0]}" "$@"
}

create_cluster() {
    local -a arguments=(--pgdata="$PGDATA" --username="$POSTGRES_USER") extra
    # Words are quoted there as in a shell.
    eval "extra=($POSTGRES_INITDB_ARGS)"
    if [[ -n $POSTGRES_PASSWORD ]]; then
        initdb "${arguments[@]}" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") "${extra[@]}"
    else
        initdb "${arguments[@]}" "${extra[@]}"
    fi
    printf '\nhost all all all %s\n' "$POSTGRES_HOST_AUTH_METHOD" >>"$PGDATA/pg_hba.conf"
}

# Runs psql as an init script would; their connection settings come from the environment.
process_sql() {
    psql --no-psqlrc --no-password --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="${PGDATABASE:-postgres}" "$@"
}

create_database() {
    if [[ $POSTGRES_DB != postgres ]]; then
        PGDATABASE=postgres process_sql --set=db="$POSTGRES_DB" --quiet <<<'CREATE DATABASE :"db";'
    fi
}

run_init_files() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        printf '%s: running %s\n' "$0" "$file"
        case $file in
        *.sh)
            if [[ -x $file ]]; then
                "$file"
            else
                # shellcheck source=/dev/null
                . "$file"
            fi
            ;;
        *.sql) process_sql --file="$file" ;;
        *.sql.gz) gunzip --stdout "$file" | process_sql ;;
        *) printf '%s: ignoring %s\n' "$0" "$file" ;;
        esac
    done
}

initialise() {
    shopt -s nullglob
    create_cluster
    export PGPASSWORD=$POSTGRES_PASSWORD PGHOST=/var/run/postgresql
    pg_ctl --pgdata="$PGDATA" --wait --options="${*@Q} -c listen_addresses='' -p ${PGPORT:-5432}" start
    create_database
    PGDATABASE=$POSTGRES_DB run_init_files
    pg_ctl --pgdata="$PGDATA" --wait --mode=fast stop
    unset PGPASSWORD PGHOST
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
}

# True for the questions that postgres answers without a data folder.
only_asks() {
    local word
    for word in "$@"; do
        case $word in
        -'?' | --help | --describe-config | -V | --version) return 0 ;;
        esac
    done
    return 1
}

main() {
    if [[ ${1-} == -* ]]; then
        set -- postgres "$@"
    fi
    if [[ ${1-} == postgres ]] && ! only_asks "$@"; then
        create_folders
        if [[ $(id -u) == 0 ]]; then
            become_postgres "$@"
        fi
        if [[ ! -s $PGDATA/PG_VERSION ]]; then
            read_settings
            require_password
            initialise "${@:2}"
        fi
    fi
    exec "$@"
}

main "$@"
