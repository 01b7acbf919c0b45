"""Sites and users of the EUA datasets (github.com/swinedge/eua-dataset), CSV.

Files of sites (SITE_ID, LATITUDE, LONGITUDE, NAME, …) and of users (Latitude, Longitude, with or without other
columns), in any order. Maps: sites to nodes, named site-SITE_ID; users to the site nearest to them, where they are base
users. Assumes: round trips from distances (`Distance`), since there are no links; how often a user asks; users stay
where they are. Drops: names, states and postcodes (which may be empty). The data has no capacities and no radius of
coverage; users of Melbourne are generated, not observed.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from lwmecps_core.tasks.importers.graphs import EARTH_KM, great_circle_km, one_way_ms, said_of, with_base
from lwmecps_core.tasks.importers.loads import listed
from lwmecps_core.tasks.importers.options import EuaOptions, seconds
from lwmecps_core.tasks.importers.places import MOST_NODES, Places
from lwmecps_core.tasks.importers.tables import Floats, Names, Rows, Table, refuse_names_twice, refuse_twice, refused

MOST_USERS = 2**21
"""Who are kept: many times those of the published files."""


def read_eua(files: Sequence[Path], options: EuaOptions) -> Places:
    """Sites and users; raises `InvalidInput` for other columns, places off the globe, and ids that stand twice."""
    names, spots, people = _read(files)
    at, km = _nearest(people, spots)
    count = np.bincount(at, minlength=len(spots))
    kept, said = np.arange(len(spots)), []
    if options.top and options.top < len(spots):
        kept = np.sort(np.argsort(-count, kind="stable")[: options.top])
        at, km = _nearest(people, spots[kept])
        count = np.bincount(at, minlength=len(kept))
        said.append(f"top {options.top} of {len(spots)} sites; users of the others are at the nearest of these")
    elif len(spots) > MOST_NODES:
        raise refused(files[0], ".", f"{len(spots):,} sites are too many for a task (at most {MOST_NODES}): say --top")
    nodes = [f"site-{names.texts[i][0]}" for i in kept]
    ways = one_way_ms(great_circle_km(spots[kept], spots[kept]), options)
    workload = {
        "pattern": "uniform",
        "base_users": [float(users) for users in count],
        "request_interval_s": seconds(options.request_interval, "--request-interval"),
    }
    return Places(
        source=files[0],
        names=tuple(nodes),
        rtt_ms=with_base(ways + ways.T, options),
        notes=(
            f"{len(nodes)} sites: {listed(nodes)}",
            *said,
            said_of(options),
            *(
                [
                    f"{len(people):,} users, each at the nearest site (at most {km.max():.3g} km away), asks once per "
                    f"{options.request_interval}"
                ]
                if len(people)
                else []
            ),
            "left out: names, states, postcodes",
        ),
        workload=workload if len(people) else {},
    )


def _read(files: Sequence[Path]) -> tuple[Names, Floats, Floats]:
    """Ids of the sites, where they are, and where the users are, in degrees."""
    refuse_twice(files)
    sites, names, users = [np.zeros((0, 2))], Names(), [np.zeros((0, 2))]
    of_sites: list[Path] = []
    for path in files:
        table = Table(path)
        header = table.header()
        upper = [name.upper() for name in header]
        refuse_names_twice(path, upper)
        columns = [table.column(upper, name, "EUA") for name in ("LATITUDE", "LONGITUDE")]
        if "SITE_ID" in upper:
            of_sites.append(path)
            for rows in table.rows(upper, [*columns, upper.index("SITE_ID")]):
                known = len(names.texts)
                at = names.of(rows, [2])
                if len(names.texts) != known + len(rows):
                    row = int(np.flatnonzero(at < known)[0]) if (at < known).any() else _second(at)
                    raise rows.refused(row, 2, f"{rows.text(row, 2)!r} stands twice")
                sites.append(_places(rows))
        else:
            for rows in table.rows(upper, columns):
                users.append(_places(rows))
                if sum(map(len, users)) > MOST_USERS:
                    raise rows.refused(len(rows) - 1, 0, f"more than {MOST_USERS:,} users, who are all kept")
    spots, people = np.concatenate(sites), np.concatenate(users)
    if not len(spots):
        if of_sites:
            raise refused(of_sites[0], ".", "holds no site")
        raise refused(files[0], ".", "holds users: a file of sites (SITE_ID, LATITUDE, LONGITUDE) is needed beside it")
    return names, spots, people


def _second(at: NDArray[np.int64]) -> int:
    """The row of the first that was there already."""
    _, first = np.unique(at, return_index=True)
    return int(np.setdiff1d(np.arange(len(at)), first)[0])


def _places(rows: Rows) -> Floats:
    found = rows.numbers(0, 2, "degrees", -180.0)
    for column, most in ((0, 90.0), (1, 180.0)):
        off = np.flatnonzero(~(np.abs(found[:, column]) <= most))
        if off.size:
            raise rows.refused(int(off[0]), column, f"{rows.text(int(off[0]), column)!r} is no latitude or longitude")
    return found


def _nearest(people: Floats, sites: Floats) -> tuple[NDArray[np.int64], Floats]:
    """The index of the site that is nearest to each user, by the straight line through the globe, and the way in km."""
    chord, at = KDTree(_on_globe(sites)).query(_on_globe(people))
    return at.astype(np.int64), 2.0 * EARTH_KM * np.arcsin(np.minimum(chord / 2.0, 1.0))


def _on_globe(degrees: Floats) -> Floats:
    latitude, longitude = np.radians(degrees).T
    return np.stack([np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], 1)
