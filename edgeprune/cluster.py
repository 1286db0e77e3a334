"""A map over the machines of a Ray cluster: `pip install edgeprune[ray]`.

A job that is lost with its process or its machine is started anew on another, a few times; only then is it `Lost`. Jobs
read and write files by the paths they have here, so machines share those folders, as clusters do.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from edgeprune.errors import EnvironmentFailure, MissingTool
from edgeprune.parallel import Lost, Map

__all__ = ["ray_cluster"]

J = TypeVar("J")
R = TypeVar("R")

_ATTEMPTS = 4
"""How often a job is started whose process dies under it."""


def ray_cluster(address: str, most: int | None = None) -> Map:
    """A map over the cluster at `address`, one job on each of its cores, or at most `most` at a time.

    Closing the iterator, as an interrupt does, ends the jobs that run.

    Args:
        address: "HOST:PORT" or "ray://HOST:PORT" of a cluster; "auto" for the one this machine belongs to; "local" for
            one that is started here, for this map alone.
        most: jobs at a time.

    Raises:
        MissingTool: Ray is not installed.
        EnvironmentFailure: there is no cluster at the address.
    """
    try:
        import ray
    except ImportError:
        raise MissingTool("Ray is not installed: pip install 'edgeprune[ray]'.") from None
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            ignore_reinit_error=True,
            include_dashboard=False if address == "local" else None,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise EnvironmentFailure(f"there is no Ray cluster at {address!r}: {reason}") from None

    def mapped(function: Callable[[J], R], jobs: Sequence[J]) -> Iterator[tuple[int, R | Lost]]:
        remote = ray.remote(num_cpus=1, max_retries=_ATTEMPTS - 1)(function)
        waiting = list(enumerate(jobs))[::-1]
        running: dict[ray.ObjectRef[R], int] = {}
        try:
            while waiting or running:
                while waiting and (most is None or len(running) < most):
                    number, job = waiting.pop()
                    running[remote.remote(job)] = number
                ready, _ = ray.wait(list(running), num_returns=1)
                for reference in ready:
                    number = running.pop(reference)
                    try:
                        yield number, ray.get(reference)
                    except ray.exceptions.RayError as error:
                        yield number, Lost(f"the cluster lost it: {str(error).splitlines()[0]}")
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    return mapped
