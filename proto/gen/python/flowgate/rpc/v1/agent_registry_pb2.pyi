import datetime

from flowgate.agent.v1 import events_pb2 as _events_pb2
from flowgate.config.v1 import events_pb2 as _events_pb2_1
from flowgate.options.v1 import options_pb2 as _options_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GatewayStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GATEWAY_STATUS_UNSPECIFIED: _ClassVar[GatewayStatus]
    GATEWAY_STATUS_ONLINE: _ClassVar[GatewayStatus]
    GATEWAY_STATUS_STALE: _ClassVar[GatewayStatus]
    GATEWAY_STATUS_OFFLINE: _ClassVar[GatewayStatus]

class HealthState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    HEALTH_STATE_UNSPECIFIED: _ClassVar[HealthState]
    HEALTH_STATE_HEALTHY: _ClassVar[HealthState]
    HEALTH_STATE_UNHEALTHY: _ClassVar[HealthState]
    HEALTH_STATE_UNKNOWN: _ClassVar[HealthState]
GATEWAY_STATUS_UNSPECIFIED: GatewayStatus
GATEWAY_STATUS_ONLINE: GatewayStatus
GATEWAY_STATUS_STALE: GatewayStatus
GATEWAY_STATUS_OFFLINE: GatewayStatus
HEALTH_STATE_UNSPECIFIED: HealthState
HEALTH_STATE_HEALTHY: HealthState
HEALTH_STATE_UNHEALTHY: HealthState
HEALTH_STATE_UNKNOWN: HealthState

class Gateway(_message.Message):
    __slots__ = ("gateway_id", "instance_id", "name", "management_mode", "status", "healthy", "last_error", "health_status", "agent_type", "version", "labels", "capabilities", "last_seen_at", "first_seen_at", "connected_at", "disconnected_at", "transport", "ingress", "remote_address", "host_name", "os_type", "host_arch", "health_since", "started_at", "enrollment_token_id")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    GATEWAY_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MANAGEMENT_MODE_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    LAST_ERROR_FIELD_NUMBER: _ClassVar[int]
    HEALTH_STATUS_FIELD_NUMBER: _ClassVar[int]
    AGENT_TYPE_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    LAST_SEEN_AT_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEEN_AT_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_AT_FIELD_NUMBER: _ClassVar[int]
    DISCONNECTED_AT_FIELD_NUMBER: _ClassVar[int]
    TRANSPORT_FIELD_NUMBER: _ClassVar[int]
    INGRESS_FIELD_NUMBER: _ClassVar[int]
    REMOTE_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    HOST_NAME_FIELD_NUMBER: _ClassVar[int]
    OS_TYPE_FIELD_NUMBER: _ClassVar[int]
    HOST_ARCH_FIELD_NUMBER: _ClassVar[int]
    HEALTH_SINCE_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENROLLMENT_TOKEN_ID_FIELD_NUMBER: _ClassVar[int]
    gateway_id: str
    instance_id: str
    name: str
    management_mode: _events_pb2.ManagementMode
    status: GatewayStatus
    healthy: bool
    last_error: str
    health_status: str
    agent_type: str
    version: str
    labels: _containers.ScalarMap[str, str]
    capabilities: int
    last_seen_at: _timestamp_pb2.Timestamp
    first_seen_at: _timestamp_pb2.Timestamp
    connected_at: _timestamp_pb2.Timestamp
    disconnected_at: _timestamp_pb2.Timestamp
    transport: str
    ingress: str
    remote_address: str
    host_name: str
    os_type: str
    host_arch: str
    health_since: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    enrollment_token_id: str
    def __init__(self, gateway_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., name: _Optional[str] = ..., management_mode: _Optional[_Union[_events_pb2.ManagementMode, str]] = ..., status: _Optional[_Union[GatewayStatus, str]] = ..., healthy: _Optional[bool] = ..., last_error: _Optional[str] = ..., health_status: _Optional[str] = ..., agent_type: _Optional[str] = ..., version: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., capabilities: _Optional[int] = ..., last_seen_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., first_seen_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., connected_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., disconnected_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., transport: _Optional[str] = ..., ingress: _Optional[str] = ..., remote_address: _Optional[str] = ..., host_name: _Optional[str] = ..., os_type: _Optional[str] = ..., host_arch: _Optional[str] = ..., health_since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., enrollment_token_id: _Optional[str] = ...) -> None: ...

class GatewayDetail(_message.Message):
    __slots__ = ("gateway", "agent_description", "health", "available_components", "supervisor_status_json", "supervisor_logs_path", "sequence_num", "disconnect_reason")
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    AGENT_DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_COMPONENTS_FIELD_NUMBER: _ClassVar[int]
    SUPERVISOR_STATUS_JSON_FIELD_NUMBER: _ClassVar[int]
    SUPERVISOR_LOGS_PATH_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_NUM_FIELD_NUMBER: _ClassVar[int]
    DISCONNECT_REASON_FIELD_NUMBER: _ClassVar[int]
    gateway: Gateway
    agent_description: bytes
    health: bytes
    available_components: bytes
    supervisor_status_json: str
    supervisor_logs_path: str
    sequence_num: int
    disconnect_reason: str
    def __init__(self, gateway: _Optional[_Union[Gateway, _Mapping]] = ..., agent_description: _Optional[bytes] = ..., health: _Optional[bytes] = ..., available_components: _Optional[bytes] = ..., supervisor_status_json: _Optional[str] = ..., supervisor_logs_path: _Optional[str] = ..., sequence_num: _Optional[int] = ..., disconnect_reason: _Optional[str] = ...) -> None: ...

class ListGatewaysRequest(_message.Message):
    __slots__ = ("management_mode", "statuses", "healths", "q", "labels", "sort", "limit", "cursor", "versions", "instance_ids", "config_states")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MANAGEMENT_MODE_FIELD_NUMBER: _ClassVar[int]
    STATUSES_FIELD_NUMBER: _ClassVar[int]
    HEALTHS_FIELD_NUMBER: _ClassVar[int]
    Q_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    SORT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_IDS_FIELD_NUMBER: _ClassVar[int]
    CONFIG_STATES_FIELD_NUMBER: _ClassVar[int]
    management_mode: _events_pb2.ManagementMode
    statuses: _containers.RepeatedScalarFieldContainer[GatewayStatus]
    healths: _containers.RepeatedScalarFieldContainer[HealthState]
    q: str
    labels: _containers.ScalarMap[str, str]
    sort: str
    limit: int
    cursor: str
    versions: _containers.RepeatedScalarFieldContainer[str]
    instance_ids: _containers.RepeatedScalarFieldContainer[str]
    config_states: _containers.RepeatedScalarFieldContainer[_events_pb2_1.DeliveryState]
    def __init__(self, management_mode: _Optional[_Union[_events_pb2.ManagementMode, str]] = ..., statuses: _Optional[_Iterable[_Union[GatewayStatus, str]]] = ..., healths: _Optional[_Iterable[_Union[HealthState, str]]] = ..., q: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., sort: _Optional[str] = ..., limit: _Optional[int] = ..., cursor: _Optional[str] = ..., versions: _Optional[_Iterable[str]] = ..., instance_ids: _Optional[_Iterable[str]] = ..., config_states: _Optional[_Iterable[_Union[_events_pb2_1.DeliveryState, str]]] = ...) -> None: ...

class ListGatewaysResponse(_message.Message):
    __slots__ = ("gateways", "next_cursor", "total")
    GATEWAYS_FIELD_NUMBER: _ClassVar[int]
    NEXT_CURSOR_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    gateways: _containers.RepeatedCompositeFieldContainer[Gateway]
    next_cursor: str
    total: int
    def __init__(self, gateways: _Optional[_Iterable[_Union[Gateway, _Mapping]]] = ..., next_cursor: _Optional[str] = ..., total: _Optional[int] = ...) -> None: ...

class GetGatewayRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetGatewayResponse(_message.Message):
    __slots__ = ("detail",)
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    detail: GatewayDetail
    def __init__(self, detail: _Optional[_Union[GatewayDetail, _Mapping]] = ...) -> None: ...

class UpdateGatewayRequest(_message.Message):
    __slots__ = ("id", "name", "set_labels", "remove_labels")
    class SetLabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    SET_LABELS_FIELD_NUMBER: _ClassVar[int]
    REMOVE_LABELS_FIELD_NUMBER: _ClassVar[int]
    id: str
    name: str
    set_labels: _containers.ScalarMap[str, str]
    remove_labels: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., name: _Optional[str] = ..., set_labels: _Optional[_Mapping[str, str]] = ..., remove_labels: _Optional[_Iterable[str]] = ...) -> None: ...

class UpdateGatewayResponse(_message.Message):
    __slots__ = ("gateway",)
    GATEWAY_FIELD_NUMBER: _ClassVar[int]
    gateway: Gateway
    def __init__(self, gateway: _Optional[_Union[Gateway, _Mapping]] = ...) -> None: ...

class DeleteGatewayRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class DeleteGatewayResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetFleetSummaryRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetFleetSummaryResponse(_message.Message):
    __slots__ = ("total", "by_mode", "by_status", "by_health", "by_version", "by_config_state")
    class ByModeEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ByStatusEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ByHealthEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ByVersionEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    class ByConfigStateEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    BY_MODE_FIELD_NUMBER: _ClassVar[int]
    BY_STATUS_FIELD_NUMBER: _ClassVar[int]
    BY_HEALTH_FIELD_NUMBER: _ClassVar[int]
    BY_VERSION_FIELD_NUMBER: _ClassVar[int]
    BY_CONFIG_STATE_FIELD_NUMBER: _ClassVar[int]
    total: int
    by_mode: _containers.ScalarMap[str, int]
    by_status: _containers.ScalarMap[str, int]
    by_health: _containers.ScalarMap[str, int]
    by_version: _containers.ScalarMap[str, int]
    by_config_state: _containers.ScalarMap[str, int]
    def __init__(self, total: _Optional[int] = ..., by_mode: _Optional[_Mapping[str, int]] = ..., by_status: _Optional[_Mapping[str, int]] = ..., by_health: _Optional[_Mapping[str, int]] = ..., by_version: _Optional[_Mapping[str, int]] = ..., by_config_state: _Optional[_Mapping[str, int]] = ...) -> None: ...

class ListComponentsRequest(_message.Message):
    __slots__ = ("instance_ids",)
    INSTANCE_IDS_FIELD_NUMBER: _ClassVar[int]
    instance_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, instance_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ComponentSet(_message.Message):
    __slots__ = ("available_components", "instance_ids")
    AVAILABLE_COMPONENTS_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_IDS_FIELD_NUMBER: _ClassVar[int]
    available_components: bytes
    instance_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, available_components: _Optional[bytes] = ..., instance_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class ListComponentsResponse(_message.Message):
    __slots__ = ("sets",)
    SETS_FIELD_NUMBER: _ClassVar[int]
    sets: _containers.RepeatedCompositeFieldContainer[ComponentSet]
    def __init__(self, sets: _Optional[_Iterable[_Union[ComponentSet, _Mapping]]] = ...) -> None: ...

class ListLabelsRequest(_message.Message):
    __slots__ = ("q", "limit")
    Q_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    q: str
    limit: int
    def __init__(self, q: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class FleetLabel(_message.Message):
    __slots__ = ("key", "value", "gateways")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    GATEWAYS_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    gateways: int
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ..., gateways: _Optional[int] = ...) -> None: ...

class ListLabelsResponse(_message.Message):
    __slots__ = ("labels",)
    LABELS_FIELD_NUMBER: _ClassVar[int]
    labels: _containers.RepeatedCompositeFieldContainer[FleetLabel]
    def __init__(self, labels: _Optional[_Iterable[_Union[FleetLabel, _Mapping]]] = ...) -> None: ...
