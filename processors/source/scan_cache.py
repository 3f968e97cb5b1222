"""What earlier runs have seen: gateway.folder, gateway.file, gateway.full_pass; and what they recorded.

The rows say only what is already in the ledger, so losing them costs time, not facts.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from sqlalchemy import text

from processors.gateway import Work
from processors.source.changes import Files, Finding, Known, Look, Looks


class Recalled(NamedTuple):
    """The folders as last listed: mtime by key; when all of them were last looked into; and the raw folder's place.

    `place` is where studies were found last; `doubted_at` the ledger's last event when it first was another one.
    """

    folders: dict[str, int]
    full_pass_at: datetime | None
    place: str | None = None
    doubted_at: int | None = None


def recall(work: Work) -> Recalled:
    """What a run has to know to find what has changed.

    Forgotten are the studies that have vanished from the site that had them: those that lie here are looked at again.
    """
    row = work.execute(_RECALL, {"site": work.site}).one()
    folders = orjson.loads(row.folders or "{}")
    for study in row.forgotten or ():  # the statement still sees them
        folders.pop(study, None)
    return Recalled(folders, row.full_pass_at, row.place, row.doubted_at)


# One value instead of a row for each folder takes two thirds of the time (0.09 s for 125,000). A site alone has nothing
# to take over: then no study is looked at.
_RECALL = text("""
    with lost as (
         select study from gateway.study
          where site <> :site and not on_disk and exists (select from gateway.decision where decision.site <> :site)),
    files as (
         delete from gateway.file using lost where file.site = :site and file.study = lost.study),
    forgotten as (
         delete from gateway.folder using lost where folder.site = :site and folder.study = lost.study
         returning folder.study)
    select (select json_object_agg(study, mtime_ns)::text from gateway.folder where site = :site) as folders,
           (select array_agg(study) from forgotten) as forgotten,
           (select at from gateway.full_pass where site = :site) as full_pass_at,
           (select place from gateway.raw_folder where site = :site) as place,
           (select doubted_at from gateway.raw_folder where site = :site) as doubted_at
""")


def files(work: Work, folders: Collection[str]) -> tuple[Mapping[str, Files], Mapping[str, Looks]]:
    """The files of these folders as last read, and what was seen there of files whose mtime lay ahead."""
    remembered: dict[str, dict[str, tuple[int, int, int]]] = {folder: {} for folder in folders}
    seen: dict[str, dict[str, Look]] = defaultdict(dict)
    for study, name, mtime_ns, size, stamp, is_ahead in work.execute(
        _FILES, {"site": work.site, "folders": list(folders)}
    ):
        if is_ahead:
            seen[study][name] = Look(mtime_ns, size, stamp)
        else:
            remembered[study][name] = (mtime_ns, size, stamp)
    return remembered, seen


_FILES = text("""
    select study, name, mtime_ns, size, stamp, false from gateway.file
     where site = :site and study = any(:folders)
    union all
    select study, name, mtime_ns, size, seen_ns, true from gateway.file_ahead
     where site = :site and study = any(:folders)
""")


def known(work: Work, folders: Collection[str]) -> Known:
    """What the ledger says about these studies and what lies in their folders.

    Of other sites' studies, of those only that have vanished there: they are this site's, if they lie here.
    """
    parameters = {"site": work.site, "folders": list(folders)}
    studies, rejected = work.execute(_STUDIES, parameters), work.execute(_REJECTED, parameters)
    series = work.execute(_SERIES, parameters).all()
    presence: dict[str, dict[str, bool]] = defaultdict(dict)
    for row in series:
        presence[row.study][row.series] = row.present
    return Known(
        on_disk={row.study: row.on_disk for row in studies},
        rejected={row.path: row.digest for row in rejected},
        fingerprints={(row.study, row.series): row.fingerprint for row in series},
        presence=presence,
    )


_STUDIES = text("""
    select study, on_disk from gateway.study where (site = :site or not on_disk) and study = any(:folders)
""")
# A scan of the table, which holds next to nothing; asking by path would send every file's.
_REJECTED = text("select path, digest from gateway.rejected_file where split_part(path, '/', 1) = any(:folders)")
_SERIES = text("select study, series, fingerprint, present from gateway.series where study = any(:folders)")


def unremembered_studies(work: Work) -> set[str]:
    """Studies on disk whose folders are not remembered.

    There are some only where what was remembered was lost, or a run was killed within a very large folder.
    """
    rows = work.execute(
        text("""
            select study from gateway.study
             where site = :site and on_disk
               and not exists (select from gateway.folder
                                where folder.site = study.site and folder.study = study.study)
        """),
        {"site": work.site},
    )
    return set(rows.scalars())


def on_disk(work: Work, studies: Collection[str], *, until: int | None = None) -> tuple[int, int]:
    """How many of these studies are thought to be on disk, and how many are in all, of those that came `until` then."""
    row = work.execute(
        text("""
            select count(*) filter (where study = any(:studies)) as among_them, count(*) as in_all
              from gateway.study
             where site = :site and on_disk
               and (cast(:until as bigint) is null
                    or (select position from ledger.event
                         where stream = 'study/' || study.study and version = 1) <= :until)
        """),
        {"site": work.site, "studies": list(studies), "until": until},
    ).one()
    return row.among_them, row.in_all


def store(work: Work, findings: Sequence[Finding]) -> None:
    """Remembers and forgets as the findings say."""
    files_seen = [finding.remember_file for finding in findings if finding.remember_file]
    files_gone = [finding.forget_file for finding in findings if finding.forget_file]
    folders_seen = [finding.remember_folder for finding in findings if finding.remember_folder]
    folders_gone = [finding.forget_folder for finding in findings if finding.forget_folder]
    _delete_files(work, [row[:2] for row in files_seen] + files_gone)
    _copy(work, "gateway.file (site, study, name, mtime_ns, size, stamp)", ((work.site, *row) for row in files_seen))
    work.execute(_FORGET_FOLDERS, {"site": work.site, "folders": [key for key, _ in folders_seen] + folders_gone})
    _copy(work, "gateway.folder (site, study, mtime_ns)", ((work.site, *row) for row in folders_seen))
    looked = [finding.remember_looks for finding in findings if finding.remember_looks]
    if looked or folders_gone:
        _store_looks(work, looked, folders_gone)


def _store_looks(work: Work, seen: Sequence[tuple[str, Looks]], gone: Sequence[str]) -> None:
    """Remembers these looks in place of those before."""
    work.execute(
        text("delete from gateway.file_ahead where site = :site and study = any(:folders)"),
        {"site": work.site, "folders": [key for key, _ in seen] + list(gone)},
    )
    rows = ((work.site, key, name, *look) for key, of_folder in seen for name, look in of_folder.items())
    _copy(work, "gateway.file_ahead (site, study, name, mtime_ns, size, seen_ns)", rows)


def store_place(work: Work, place: str, doubted_at: int | None) -> None:
    """Remembers where the raw folder is, and since which event that is doubted."""
    work.execute(
        text("""
            insert into gateway.raw_folder (site, place, doubted_at) values (:site, :place, :doubted_at)
            on conflict (site) do update set place = excluded.place, doubted_at = excluded.doubted_at
        """),
        {"site": work.site, "place": place, "doubted_at": doubted_at},
    )


def store_full_pass(work: Work, at: datetime) -> None:
    """Remembers that a pass over everything has come to its end."""
    work.execute(
        text("""
            insert into gateway.full_pass (site, at) values (:site, :at)
            on conflict (site) do update set at = excluded.at
        """),
        {"site": work.site, "at": at},
    )


def _delete_files(work: Work, names: Sequence[tuple[str, str]]) -> None:
    # On a first run nearly all are new: their names need not be sent to be deleted.
    studies = {"site": work.site, "studies": list({study for study, _ in names})}
    occupied = set(work.execute(_OCCUPIED, studies).scalars())
    names = [(study, name) for study, name in names if study in occupied]
    if names:
        work.execute(
            _FORGET_FILES,
            {"site": work.site, "studies": [study for study, _ in names], "names": [name for _, name in names]},
        )


_FORGET_FOLDERS = text("delete from gateway.folder where site = :site and study = any(:folders)")
_OCCUPIED = text("select distinct study from gateway.file where site = :site and study = any(:studies)")
_FORGET_FILES = text("""
    delete from gateway.file
     using unnest(cast(:studies as text[]), cast(:names as text[])) as gone (study, name)
     where file.site = :site and file.study = gone.study and file.name = gone.name
""")


def _copy(work: Work, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    """Inserts rows by COPY: a fifth of the time of single inserts."""
    driver: Any = work.connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(f"copy {table} from stdin") as copy:
        for row in rows:
            copy.write_row(row)
