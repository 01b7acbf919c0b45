#!/usr/bin/env bash
# Guess:   `rowcount` of an INSERT … ON CONFLICT DO NOTHING that met its conflict is 0, on PostgreSQL as on SQLite, so that
#          `if result.rowcount:` says whether this call was the one that inserted.
# Really:  SQLAlchemy 2.1.9 with psycopg 3.3.9 says -1, which is true, both times, inserted or not; SQLite's driver says 1 and 0.
#          The driver knows: with preserve_rowcount both databases say 1 and 0.
# Matters: a claim or an idempotency key made so in one statement looks won by everybody, and only a test on PostgreSQL tells.
set -euo pipefail
programs=$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | tail -1)
[[ -n $programs ]] || { echo "PostgreSQL is not installed"; exit 77; }
folder=$(mktemp -d)
as_server=()
if [[ $(id -u) = 0 ]]; then as_server=(setpriv --reuid=postgres --regid=postgres --clear-groups); fi
trap '"${as_server[@]}" "$programs/pg_ctl" --pgdata="$folder/data" --mode=immediate stop > /dev/null 2>&1 || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check sqlalchemy==2.1.9 'psycopg[binary]==3.3.9' 2> /dev/null
mkdir data && { [[ $(id -u) != 0 ]] || chown postgres "$folder" data; }
"${as_server[@]}" "$programs/initdb" --pgdata="$folder/data" --auth=trust --username=me --no-sync > /dev/null
"${as_server[@]}" "$programs/pg_ctl" --pgdata="$folder/data" --wait --log="$folder/log" \
    --options="-c listen_addresses='' -c unix_socket_directories=$folder" start > /dev/null
cat > rows.py <<'PYTHON'
import sys
from importlib.metadata import version

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

print("sqlalchemy", version("sqlalchemy"), "psycopg", version("psycopg"))
keys = sa.Table("keys", sa.MetaData(), sa.Column("name", sa.String, primary_key=True))
places = {"sqlite": ("sqlite://", sqlite), "postgresql": (f"postgresql+psycopg://me@/postgres?host={sys.argv[1]}", postgresql)}
for name, (url, dialect) in places.items():
    with sa.create_engine(url).begin() as connection:
        keys.create(connection)
        statement = dialect.insert(keys).on_conflict_do_nothing()
        counts = [connection.execute(statement, {"name": "a"}).rowcount for _ in range(2)]
        kept = statement.execution_options(preserve_rowcount=True)
        counts_kept = [connection.execute(kept, {"name": "b"}).rowcount for _ in range(2)]
        rows = connection.execute(sa.select(sa.func.count()).select_from(keys)).scalar_one()
    print(name, "rowcounts", counts, "preserved", counts_kept, "rows", rows)
PYTHON
venv/bin/python rows.py "$folder" | tee printed.txt
grep -q "^sqlite rowcounts \[1, 0\] preserved \[1, 0\] rows 2$" printed.txt &&
    grep -q "^postgresql rowcounts \[-1, -1\] preserved \[1, 0\] rows 2$" printed.txt || {
    echo "this has changed"
    exit 1
}
