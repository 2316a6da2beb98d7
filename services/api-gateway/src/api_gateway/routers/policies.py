"""Policies: which connection settings agents are offered."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from api_gateway.answers import answer, refusals
from api_gateway.owners import SUPERVISOR_CONTROL, OwnersDep, taken_by
from api_gateway.routers.supervisors import ACTOR
from api_gateway.schemas.policy import PolicyBody, PolicyChangeResponse, PolicyListResponse, change_json, policy_json
from flowgate.rpc.v1 import policies_pb2 as policies

router = APIRouter(prefix="/api/v1/supervisor/policies", tags=["supervisor"], responses=refusals(401, 422, 503))

Name = Annotated[str, Path(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", description="Name of the policy.")]
DryRun = Annotated[bool, Query(description="Only tell what it would do.")]


@router.get("", operation_id="listPolicies", response_model=PolicyListResponse)
async def list_policies(owners: OwnersDep) -> Response:
    """All policies."""
    found = await owners.list_policies(policies.ListPoliciesRequest())
    return answer({"items": [policy_json(one) for one in found.policies]})


@router.put("/{name}", operation_id="putPolicy", response_model=PolicyChangeResponse, responses=refusals(413))
async def put_policy(owners: OwnersDep, name: Name, policy: PolicyBody, dry_run: DryRun = False) -> Response:
    """Make or change a policy. The answer says how many agents get another offer and how many collectors restart."""
    done = await taken_by(SUPERVISOR_CONTROL, owners.put_policy(policy.order(name, dry_run, ACTOR)))
    return answer(change_json(done.policy, done.effect, dry_run))


@router.delete(
    "/{name}", operation_id="deletePolicy", response_model=PolicyChangeResponse, responses=refusals(404, 409)
)
async def delete_policy(owners: OwnersDep, name: Name, dry_run: DryRun = False) -> Response:
    """Remove a policy; the default one stays."""
    done = await owners.delete_policy(policies.DeletePolicyRequest(name=name, dry_run=dry_run))
    return answer(change_json(None, done.effect, dry_run))
