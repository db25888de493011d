"""One run's local models spread over a Ray cluster: copies of an in-process backend, each in an actor of its own.

Answers come back to the process that was started, which stores them; the cluster keeps nothing. When an actor dies, or
its node does, the requests it had are asked again on another, and a new actor takes its place as soon as there is room.
Nodes need evalkit, the engine and access to the weights; no key or setting of this machine is sent there.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import socket
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import Struct

from evalkit.backends import provider
from evalkit.backends.servers import Pool
from evalkit.core.protocols import (
    Backend,
    Completion,
    EvalkitError,
    Malformed,
    Misconfigured,
    Rejected,
    Request,
    Transport,
    UsageError,
)

REPLACEMENTS: Final = 5
"""How often one actor is replaced in a run; what kills each of them is not bad luck."""

PATIENCE: Final = 60.0
"""Seconds a request waits where no actor is left and a new one is loading."""

NEWS_AFTER: Final = 30.0
"""Seconds without any actor after which the user is told what is being waited for."""

FREEING: Final = 30.0
"""Seconds an actor has to free its engine before it is killed."""

_ERRORS: Final = {error.__name__: error for error in (Transport, Rejected, Malformed, Misconfigured, UsageError)}


class ClusterNews(UserWarning):
    """What the user should know about the cluster; the run goes on."""


class Fault(Struct, frozen=True):
    """An error on its way from an actor: exceptions with keyword arguments do not survive pickling."""

    error: str
    message: str
    details: dict[str, Any]

    @classmethod
    def of(cls, error: EvalkitError) -> Fault:
        """The picklable form of an error that a backend raised."""
        name = next(base.__name__ for base in type(error).__mro__ if base.__name__ in _ERRORS)
        return cls(name, str(error), vars(error))

    def exception(self) -> EvalkitError:
        """The exception that an actor told of, to be raised here."""
        return _ERRORS[self.error](self.message, **self.details)


class Worker:
    """What runs in an actor: the inner backend, its errors as values."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def open(self) -> Fault | None:
        """Load the inner backend in its actor."""
        try:
            await self._backend.open()
        except UsageError as error:
            return Fault.of(error)
        return None

    async def complete(self, request: Request) -> Completion | Fault:
        """Have the actor's backend answer one request."""
        try:
            return await self._backend.complete(request)
        except (Transport, Rejected, Malformed, Misconfigured) as error:
            return Fault.of(error)

    async def live(self) -> None:
        """Never returns: whoever awaits it is told when the actor dies."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Free the engine; some run in a process that would outlive a killed actor."""
        await self._backend.close()


@dataclass(kw_only=True)
class Ray(Backend):
    """An in-process backend (vllm, llamacpp, fake), several times over on a Ray cluster."""

    inner: Backend
    """In YAML, a node with a ``_target_`` of its own."""
    address: str | None = None
    """Of the cluster; ``auto``: the one this machine is in. None: ``RAY_ADDRESS``, else one of this machine alone."""
    actors: int | None = None
    """How many copies. None: as many as the cluster holds when the run begins."""
    cpus: float = 1.0
    """Of each copy."""
    gpus: float | None = None
    """Of each copy. None: as many as the engine needs, if it needs any."""
    pools: int = 1
    """How many such backends must fit into the cluster together."""
    _fits: int | None = field(default=None, init=False, repr=False, compare=False)
    _pool: Pool[Any] = field(default_factory=Pool, init=False, repr=False, compare=False)
    _arrived: asyncio.Event = field(default_factory=asyncio.Event, init=False, repr=False, compare=False)
    _tending: list[asyncio.Task[None]] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def exclusive(self) -> bool:
        """Whether the inner backend needs an accelerator for itself."""
        return self.inner.exclusive

    @property
    def timeout(self) -> float:
        """Seconds one request may take."""
        return self.inner.timeout

    @property
    def concurrency(self) -> int:
        """Requests at once of all actors; where their number is left open, this asks the cluster the first time."""
        return self.inner.concurrency * (self.actors or self._share())

    def identity(self) -> Mapping[str, Any]:
        """The inner one's: where it runs does not change the text."""
        return {"backend": type(self.inner).__name__, **self.inner.identity()}

    def wire(self) -> Mapping[str, Any]:
        """What decides what is sent, of the backend it stands for."""
        return self.inner.wire()

    async def open(self) -> None:
        """Start the actors; returns when the first has loaded, and the others join as they come.

        Raises:
            Misconfigured: no cluster, no room in it, or an actor says that it cannot work at all.
        """
        if self._tending:
            return
        for name in ("actors", "pools"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise Misconfigured(f"{name}={value}: must be at least 1")
        if not self._room():
            raise Misconfigured(self._too_small())
        self._arrived = asyncio.Event()
        self._tending = [asyncio.create_task(self._tend()) for _ in range(self.actors or self._share())]
        arrival = asyncio.create_task(self._arrived.wait())
        try:
            await self._first(arrival)
        except BaseException:
            await self.close()
            raise
        finally:
            arrival.cancel()

    async def _first(self, arrival: asyncio.Task[bool]) -> None:
        """Wait until an actor has loaded; raise what the first one to fail says."""
        waiting: set[asyncio.Task[Any]] = {arrival, *self._tending}
        timeout: float | None = NEWS_AFTER
        while not arrival.done():
            done, _ = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                message = f"waiting for room in the Ray cluster, or for {self._name()} to load there"
                warnings.warn(message, ClusterNews, stacklevel=1)
                timeout = None
            for task in done - {arrival}:
                task.result()
                raise Misconfigured(f"{self._name()} died {REPLACEMENTS + 1} times on the Ray cluster while loading")

    async def complete(self, request: Request) -> Completion:
        """Ask the actor with the least to do, once."""
        if not self._tending:
            raise RuntimeError("Ray.complete() before open()")
        import ray
        from ray.exceptions import RayError, RayTaskError

        await self._anyone()
        with self._pool.least_loaded() as actor:
            reference = actor.complete.remote(request)
            try:
                reply: Completion | Fault = await reference
            except asyncio.CancelledError:
                ray.cancel(reference)
                raise
            except RayTaskError:
                raise  # a defect of the backend's, with the actor's traceback
            except RayError as error:
                raise Transport(f"lost with its Ray actor: {_sentence(error)}") from error
            if isinstance(reply, Fault):
                raise reply.exception()
        return reply

    async def _anyone(self) -> None:
        """Wait until there is somebody to ask."""
        if self._pool:
            return
        try:
            if all(task.done() for task in self._tending):
                raise TimeoutError
            async with asyncio.timeout(PATIENCE):
                await self._arrived.wait()
        except TimeoutError:
            raise Transport(f"no Ray actor of {self._name()} is left", unreachable=True) from None

    async def close(self) -> None:
        """Free and end the actors. The connection to the cluster stays, for others that use it."""
        tending, self._tending = self._tending, []
        for task in tending:
            task.cancel()
        if tending:
            await asyncio.wait(tending)

    async def _tend(self) -> None:
        """Keep one actor going: start it, load it, and start another when it dies."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        resources = {"num_cpus": self.cpus, "num_gpus": self._gpus()}
        made = ray.remote(Worker).options(
            **resources, scheduling_strategy="SPREAD", max_concurrency=max(1000, 2 * self.inner.concurrency)
        )
        for _ in range(1 + REPLACEMENTS):
            actor = made.remote(self._shipped())
            try:
                await self._serve(actor)
            except RayTaskError:
                raise
            except RayError as error:
                message = f"a Ray actor of {self._name()} died and is replaced: {_sentence(error)}"
            finally:
                await self._end(actor)
            warnings.warn(message, ClusterNews, stacklevel=1)
            await asyncio.sleep(1)  # until the cluster has noticed what else went with it

    async def _serve(self, actor: Any) -> None:
        """Load an actor and have it asked until it dies, which raises."""
        if fault := await actor.open.remote():
            raise fault.exception()
        self._pool.add(actor)
        self._arrived.set()
        await actor.live.remote()

    async def _end(self, actor: Any) -> None:
        import ray
        from ray.exceptions import RayError

        self._pool.remove(actor)
        if not self._pool:
            self._arrived.clear()
        try:
            async with asyncio.timeout(FREEING):
                await actor.close.remote()
        except (RayError, TimeoutError):
            pass  # it is dead, or about to be
        ray.kill(actor)

    def _shipped(self) -> Backend:
        """The inner backend as an actor gets it; an engine that counts idle cores would count its neighbours' too."""
        if getattr(self.inner, "threads", 1) is None:
            return dataclasses.replace(self.inner, threads=max(1, int(self.cpus)))  # type: ignore[type-var]
        return self.inner

    def _gpus(self) -> float:
        if self.gpus is not None:
            return self.gpus
        return float(getattr(self.inner, "tensor_parallel_size", 1)) if self.inner.exclusive else 0.0

    def _name(self) -> str:
        return f"{type(self.inner).__name__} {self.inner.identity().get('model')!r}"

    def _share(self) -> int:
        """Actors this backend may have of what the cluster holds."""
        return max(1, self._room() // self.pools)

    def _room(self) -> int:
        """How many actors the cluster's nodes hold in all; asked once."""
        if self._fits is None:
            needs = {"CPU": self.cpus, "GPU": self._gpus()}
            nodes = [node["Resources"] for node in _cluster(self.address).nodes() if node["Alive"]]
            self._fits = sum(
                int(min((node.get(name, 0.0) / amount for name, amount in needs.items() if amount), default=1))
                for node in nodes
            )
        return self._fits

    def _too_small(self) -> str:
        has = _cluster(self.address).cluster_resources()
        held = ", ".join(f"{has.get(name, 0.0):g} {name}" for name in ("CPU", "GPU"))
        return (
            f"no node of the Ray cluster holds an actor of {self._name()} with cpus={self.cpus:g} and "
            f"gpus={self._gpus():g}; all together they have {held}. Start more nodes, or set ray.cpus and ray.gpus"
        )


def spread(
    backends: Sequence[Backend], *, address: str | None, actors: int | None, cpus: float, gpus: float | None
) -> list[Backend]:
    """Each in-process backend as a pool of actors, sharing the cluster; hosted ones as they are.

    Raises:
        UsageError: none of them runs in this process.
    """
    local: list[Backend] = []
    for backend in backends:
        if backend.account is None and backend not in local:
            local.append(backend)
    if not local:
        raise UsageError("backend=ray spreads models that run in this program, and all of these are asked over HTTP")
    together = sum(not backend.exclusive for backend in local) + any(backend.exclusive for backend in local)
    return [
        Ray(inner=backend, address=address, actors=actors, cpus=cpus, gpus=gpus, pools=together)
        if backend.account is None
        else backend
        for backend in backends
    ]


def _cluster(address: str | None) -> Any:
    """The ray module, connected. Ray has one connection a process."""
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # under `uv run` it would upload the working folder, .env included
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # what its next version does, and its warning asks for
    }.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise Misconfigured(f"Ray is not installed ({error}): pip install 'evalkit[ray]'") from error
    if not ray.is_initialized():
        logging.getLogger("ray").setLevel(logging.ERROR)
        # Never what Ray finds by itself: a cluster that crashed leaves its address behind, and Ray waits for it.
        where = address or os.environ.get("RAY_ADDRESS") or "local"
        try:
            _check_reachable(where)
            ray.init(address=where, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            raise Misconfigured(
                f"no Ray cluster at {where!r}: {_sentence(error)}; start one with `ray start --head`, or give "
                "ray.address=HOST:6379"
            ) from error
    return ray


def _check_reachable(address: str) -> None:
    """Raise OSError where nobody listens; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host, int(port)), timeout=10).close()


def _sentence(error: Exception) -> str:
    """Ray's message, which can be a page, as one line."""
    return provider.clean(str(error))
