"""Bulk operations: the same action for many agents, a few at a time."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Query
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.responses import Response

from api_gateway.answers import Json, answer, refusals
from api_gateway.live import Hub, StoredEvent, Wanted
from api_gateway.owners import CONFIG_PUSH, SUPERVISOR_CONTROL, Owners, OwnersDep, plain_id, taken_by, unless_unknown
from api_gateway.routers.events import hub_of
from api_gateway.routers.supervisors import ACTOR
from api_gateway.schemas.operation import (
    MAX_TARGETS,
    NewOperation,
    OperationListResponse,
    OperationProgress,
    OperationResponse,
    Selector,
    TargetFilters,
    TargetListResponse,
    operation_json,
    progress_json,
    summary_json,
    targets_json,
)
from flowgate.rpc.v1 import agent_registry_pb2 as registry
from flowgate.rpc.v1 import config_push_pb2 as configs
from flowgate.rpc.v1 import operations_pb2 as operations
from flowgate.supervisor.v1.events_pb2 import OperationProgressed
from flowkit.errors import InvalidError, UnavailableError

router = APIRouter(prefix="/api/v1/supervisor/operations", tags=["supervisor"], responses=refusals(401, 422, 503))

_PAGE = 1000  # gateways a question
_FEW = 100  # so many ids are asked for one by one; for more the fleet is read
_AT_ONCE = 16  # questions
_NAMED = 20  # ids in a refusal
_RETRY_MILLISECONDS = 2000


@router.post(
    "",
    operation_id="createOperation",
    status_code=202,
    response_model=OperationResponse,
    responses={**refusals(413), 200: {"description": "What it would do (dry_run).", "model": OperationResponse}},
)
async def create_operation(owners: OwnersDep, order: NewOperation) -> Response:
    """Begin a bulk operation; follow it under `Location`. With dry_run (200) only tell what it would do.

    Agents that cannot take part, or are offline, are listed as skipped with why. Ids that no agent has are refused by
    name (422), and so is a configuration that does not parse, with line and column.
    """
    gateways = await _chosen(owners, order)
    config_hash = await _kept(owners, order) if order.config is not None else ""
    request = operations.CreateOperationRequest(
        action=order.action,
        targets=[
            operations.OperationTarget(
                instance_id=one.instance_id,
                gateway_id=one.gateway_id,
                name=one.name,
                capabilities=one.capabilities,
                is_online=one.status != registry.GATEWAY_STATUS_OFFLINE,
            )
            for one in gateways
        ],
        config_hash=config_hash,
        max_unavailable=order.room(len(gateways)),
        stop_on_failure=order.stop_on_failure,
        dry_run=order.dry_run,
        actor=ACTOR,
    )
    begun = (await taken_by(SUPERVISOR_CONTROL, owners.create_operation(request))).operation
    if order.dry_run:
        return answer(operation_json(begun))
    return answer(operation_json(begun), 202, f"{router.prefix}/{begun.operation_id}")


async def _kept(owners: Owners, order: NewOperation) -> str:
    """Hash of the configuration, which config-push keeps unless it is only a dry run."""
    request = configs.KeepConfigRequest(config=order.config or "", actor=ACTOR, check_only=order.dry_run)
    try:
        return (await taken_by(CONFIG_PUSH, owners.keep_config(request))).config_hash
    except InvalidError as error:
        for place in error.extra.get("errors", ()):
            place.setdefault("loc", "body.config")
        raise


async def _chosen(owners: Owners, order: NewOperation) -> Sequence[registry.Gateway]:
    """The gateways that an order is for, each once.

    Raises:
        InvalidError: no gateway has one of the ids, none fits, or there are too many.
    """
    if order.instance_ids is not None:
        return await _named(owners, order.instance_ids)
    found = [one async for one in _fleet(owners, order.selector or Selector(), MAX_TARGETS)]
    if not found:
        raise InvalidError("no agent fits the selector", errors=[_place("body.selector", "no agent fits it")])
    return found


async def _named(owners: Owners, ids: Sequence[str]) -> list[registry.Gateway]:
    wanted = {text: _canonical(text) for text in ids}
    by_id: dict[str, registry.Gateway] = {}
    valid = list(dict.fromkeys(one for one in wanted.values() if one))
    if len(valid) <= _FEW:
        slots = asyncio.Semaphore(_AT_ONCE)

        async def ask(either_id: str) -> registry.GetGatewayResponse | None:
            async with slots:
                return await unless_unknown(owners.get_gateway(registry.GetGatewayRequest(id=either_id)))

        answers = await asyncio.gather(*map(ask, valid))
        by_id = {id_: one.detail.gateway for id_, one in zip(valid, answers, strict=True) if one is not None}
    else:
        async for one in _fleet(owners, Selector(), None):
            by_id[one.gateway_id] = by_id[one.instance_id] = one
    unknown = [text for text, canonical in wanted.items() if canonical not in by_id]
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        raise InvalidError(
            f"no gateway or agent has the id {', '.join(one[:80] for one in unknown[:_NAMED])}{more}",
            errors=[
                _place(f"body.instance_ids.{ids.index(one)}", f"no gateway or agent has the id {one[:80]}")
                for one in unknown[:_NAMED]
            ],
        )
    chosen = (by_id[one] for one in valid)
    return list({one.gateway_id: one for one in chosen}.values())


def _canonical(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return ""


def _place(loc: str, message: str) -> dict[str, str]:
    return {"loc": loc, "message": message}


async def _fleet(owners: Owners, selector: Selector, limit: int | None) -> AsyncGenerator[registry.Gateway, None]:
    """Gateways that fit, page by page.

    Raises:
        InvalidError: they are more than `limit`.
    """
    cursor = ""
    while True:
        page = await owners.list_gateways(
            registry.ListGatewaysRequest(
                management_mode=f"MANAGEMENT_MODE_{(selector.management_mode or 'unspecified').upper()}",
                statuses=[f"GATEWAY_STATUS_{one.upper()}" for one in sorted(set(selector.status))],
                labels=selector.labels,
                sort="name",
                limit=_PAGE,
                cursor=cursor,
            )
        )
        if limit is not None and page.total > limit:
            raise InvalidError(f"{page.total} agents fit the selector; an operation takes {limit} at most")
        for one in page.gateways:
            yield one
        cursor = page.next_cursor
        if not cursor:
            return


@router.get("", operation_id="listOperations", response_model=OperationListResponse)
async def list_operations(
    owners: OwnersDep, limit: Annotated[int, Query(ge=1, le=100, description="Operations at most.")] = 20
) -> Response:
    """The latest bulk operations, newest first, without their agents."""
    found = await owners.list_operations(operations.ListOperationsRequest(limit=limit))
    return answer({"items": [summary_json(one) for one in found.operations]})


@router.get("/{operation_id}", operation_id="getOperation", response_model=OperationResponse, responses=refusals(404))
async def get_operation(
    owners: OwnersDep,
    operation_id: str,
    targets: Annotated[bool, Query(description="false leaves the agents out: there may be 10,000.")] = True,
) -> Response:
    """One bulk operation with the outcome of each agent."""
    return answer(operation_json(await _operation(owners, operation_id, without_targets=not targets)))


@router.get(
    "/{operation_id}/targets",
    operation_id="listOperationTargets",
    response_model=TargetListResponse,
    responses=refusals(404),
)
async def list_targets(owners: OwnersDep, operation_id: str, filters: Annotated[TargetFilters, Query()]) -> Response:
    """A page of the agents of a bulk operation with their outcomes."""
    return answer(
        targets_json(await owners.list_operation_targets(filters.question(plain_id(operation_id, "operation"))))
    )


async def _operation(owners: Owners, operation_id: str, *, without_targets: bool = True) -> operations.Operation:
    request = operations.GetOperationRequest(
        operation_id=plain_id(operation_id, "operation"), without_targets=without_targets
    )
    return (await owners.get_operation(request)).operation


@router.post(
    "/{operation_id}/cancel",
    operation_id="cancelOperation",
    response_model=OperationResponse,
    responses=refusals(404, 409),
)
async def cancel_operation(owners: OwnersDep, operation_id: str) -> Response:
    """Begin nothing more; agents under way get their outcome. 409 when it has ended."""
    request = operations.CancelOperationRequest(operation_id=plain_id(operation_id, "operation"), actor=ACTOR)
    return answer(operation_json((await owners.cancel_operation(request)).operation))


Events = AsyncGenerator[tuple[str, StoredEvent | None], None]


async def _following(
    owners: OwnersDep, hub: Annotated[Hub, Depends(hub_of)], operation_id: str
) -> AsyncIterator[tuple[operations.Operation, Events]]:
    """The operation as it is once its events are listened to, so that none is missed in between."""
    wanted = Wanted(operations=frozenset({plain_id(operation_id, "operation")}))
    async with aclosing(hub.listen(wanted, None)) as events:
        await anext(events)  # the place where it begins
        yield await _operation(owners, operation_id), events


@router.get(
    "/{operation_id}/events",
    operation_id="streamOperation",
    response_class=EventSourceResponse,
    responses=refusals(404),
)
async def stream_operation(
    following: Annotated[tuple[operations.Operation, Events], Depends(_following)],
) -> AsyncIterable[OperationProgress | ServerSentEvent]:
    """Progress of a bulk operation until it is over, beginning with what it is now: `event` is progress, and the last
    one over. `data` is an OperationProgress. Close it then: a browser would come back."""
    operation, events = following
    known = progress_json(operation)
    yield _event(known)
    if known["is_over"]:
        return
    try:
        async for _, stored in events:
            fact = stored.fact if stored is not None else None
            if not isinstance(fact, OperationProgressed):
                continue
            progress = progress_json(fact)
            if progress["updated_at"] >= known["updated_at"] or progress["is_over"]:  # else it came before the question
                yield _event(progress)
            if progress["is_over"]:
                return
    except UnavailableError:
        return  # the streams cannot be read now: the client comes back


def _event(progress: Json) -> ServerSentEvent:
    name = "over" if progress["is_over"] else "progress"
    return ServerSentEvent(raw_data=orjson.dumps(progress).decode(), event=name, retry=_RETRY_MILLISECONDS)
