"""Why an agent does not do well."""

import asyncio
from datetime import UTC, datetime

import orjson
from fastapi import APIRouter
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.diagnosis import Known, Record, diagnose
from api_gateway.owners import CONFIG_PUSH, SUPERVISOR_CONTROL, OwnersDep, find, unless_down, unless_unknown
from api_gateway.routers.gateways import agent_config
from api_gateway.schemas.diagnosis import DiagnosisResponse, diagnosis_json
from flowgate.rpc.v1 import supervisor_control_pb2 as supervisors
from flowgate.rpc.v1 import telemetry_pb2 as telemetry
from flowkit.opamp import moment

router = APIRouter(prefix="/api/v1/gateways", tags=["gateways"], responses=refusals(401, 422, 503))

_ERRORS, _HISTORY = 100, 200  # log records that are looked through: of supervisor and collector, of FlowGate
_ERROR = 17  # SeverityNumber of OTLP


@router.get(
    "/{gateway_id}/diagnosis",
    operation_id="getGatewayDiagnosis",
    response_model=DiagnosisResponse,
    responses=refusals(404),
)
async def get_diagnosis(owners: OwnersDep, gateway_id: str) -> Response:
    """How the agent does, explained: what is wrong, the probable cause first, each statement with its evidence, and
    what changed before."""
    detail = await find(owners, gateway_id)
    uid = detail.gateway.instance_id
    partial: list[str] = []
    errors = telemetry.ListLogsRequest(instance_id=uid, limit=_ERRORS, min_severity_number=_ERROR)
    history = telemetry.ListLogsRequest(instance_id=uid, limit=_HISTORY, source="flowgate")
    supervisor, config, *logs = await asyncio.gather(
        unless_down(
            unless_unknown(owners.get_supervisor(supervisors.GetSupervisorRequest(instance_id=uid))),
            SUPERVISOR_CONTROL,
            partial,
        ),
        unless_down(agent_config(owners, detail.gateway), CONFIG_PUSH, partial),
        unless_down(owners.list_logs(errors), SUPERVISOR_CONTROL, partial),
        unless_down(owners.list_logs(history), SUPERVISOR_CONTROL, partial),
    )
    told, happened = ([] if page is None else [_record(one) for one in page.records] for page in logs)
    known = Known(
        detail,
        config,
        supervisor.supervisor if supervisor is not None else None,
        [one for one in told if one.source != "flowgate"] + happened,
        datetime.now(UTC),
    )
    return answer(diagnosis_json(detail.gateway, diagnose(known), sorted(set(partial))))


def _record(record: telemetry.AgentLogRecord) -> Record:
    return Record(
        moment(record.timestamp),
        record.severity in ("ERROR", "FATAL"),
        record.source,
        record.body,
        {key: value for key, value in orjson.loads(record.attributes_json or "{}").items() if isinstance(value, str)},
    )
