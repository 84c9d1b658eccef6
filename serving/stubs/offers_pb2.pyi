import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_OFFERS: _ClassVar[Outcome]
    OUTCOME_DECLINE: _ClassVar[Outcome]

class CustomerOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CUSTOMER_OUTCOME_UNSPECIFIED: _ClassVar[CustomerOutcome]
    CUSTOMER_OUTCOME_ACCEPTED: _ClassVar[CustomerOutcome]
    CUSTOMER_OUTCOME_DECLINED_BY_CUSTOMER: _ClassVar[CustomerOutcome]
    CUSTOMER_OUTCOME_DEFAULTED: _ClassVar[CustomerOutcome]
    CUSTOMER_OUTCOME_PREPAID: _ClassVar[CustomerOutcome]
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_OFFERS: Outcome
OUTCOME_DECLINE: Outcome
CUSTOMER_OUTCOME_UNSPECIFIED: CustomerOutcome
CUSTOMER_OUTCOME_ACCEPTED: CustomerOutcome
CUSTOMER_OUTCOME_DECLINED_BY_CUSTOMER: CustomerOutcome
CUSTOMER_OUTCOME_DEFAULTED: CustomerOutcome
CUSTOMER_OUTCOME_PREPAID: CustomerOutcome

class Value(_message.Message):
    __slots__ = ("number", "text")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    number: float
    text: str
    def __init__(self, number: _Optional[float] = ..., text: _Optional[str] = ...) -> None: ...

class OptimiseOffersRequest(_message.Message):
    __slots__ = ("requested_principal", "requested_term_months", "features", "explain", "applicant_id")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...
    REQUESTED_PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_TERM_MONTHS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    APPLICANT_ID_FIELD_NUMBER: _ClassVar[int]
    requested_principal: float
    requested_term_months: int
    features: _containers.MessageMap[str, Value]
    explain: bool
    applicant_id: str
    def __init__(self, requested_principal: _Optional[float] = ..., requested_term_months: _Optional[int] = ..., features: _Optional[_Mapping[str, Value]] = ..., explain: _Optional[bool] = ..., applicant_id: _Optional[str] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("principal", "term_months", "quoted_rate", "nominal_rate", "apr", "monthly_payment", "total_cost", "p_accept", "pd_lifetime", "expected_profit", "binding", "p_choice")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    TERM_MONTHS_FIELD_NUMBER: _ClassVar[int]
    QUOTED_RATE_FIELD_NUMBER: _ClassVar[int]
    NOMINAL_RATE_FIELD_NUMBER: _ClassVar[int]
    APR_FIELD_NUMBER: _ClassVar[int]
    MONTHLY_PAYMENT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COST_FIELD_NUMBER: _ClassVar[int]
    P_ACCEPT_FIELD_NUMBER: _ClassVar[int]
    PD_LIFETIME_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_PROFIT_FIELD_NUMBER: _ClassVar[int]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    P_CHOICE_FIELD_NUMBER: _ClassVar[int]
    principal: float
    term_months: int
    quoted_rate: float
    nominal_rate: float
    apr: float
    monthly_payment: float
    total_cost: float
    p_accept: float
    pd_lifetime: float
    expected_profit: float
    binding: str
    p_choice: float
    def __init__(self, principal: _Optional[float] = ..., term_months: _Optional[int] = ..., quoted_rate: _Optional[float] = ..., nominal_rate: _Optional[float] = ..., apr: _Optional[float] = ..., monthly_payment: _Optional[float] = ..., total_cost: _Optional[float] = ..., p_accept: _Optional[float] = ..., pd_lifetime: _Optional[float] = ..., expected_profit: _Optional[float] = ..., binding: _Optional[str] = ..., p_choice: _Optional[float] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("code", "text", "remedy", "source")
    CODE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    code: str
    text: str
    remedy: str
    source: str
    def __init__(self, code: _Optional[str] = ..., text: _Optional[str] = ..., remedy: _Optional[str] = ..., source: _Optional[str] = ...) -> None: ...

class Effect(_message.Message):
    __slots__ = ("group", "label", "effect")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    group: str
    label: str
    effect: float
    def __init__(self, group: _Optional[str] = ..., label: _Optional[str] = ..., effect: _Optional[float] = ...) -> None: ...

class Neighbour(_message.Message):
    __slots__ = ("quoted_rate", "p_accept", "npv", "expected_profit", "broken")
    QUOTED_RATE_FIELD_NUMBER: _ClassVar[int]
    P_ACCEPT_FIELD_NUMBER: _ClassVar[int]
    NPV_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_PROFIT_FIELD_NUMBER: _ClassVar[int]
    BROKEN_FIELD_NUMBER: _ClassVar[int]
    quoted_rate: float
    p_accept: float
    npv: float
    expected_profit: float
    broken: str
    def __init__(self, quoted_rate: _Optional[float] = ..., p_accept: _Optional[float] = ..., npv: _Optional[float] = ..., expected_profit: _Optional[float] = ..., broken: _Optional[str] = ...) -> None: ...

class Explanation(_message.Message):
    __slots__ = ("pd_logit", "approved_logit", "floor", "effects", "price_slope", "waterfall", "neighbours", "binding")
    class WaterfallEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    PD_LOGIT_FIELD_NUMBER: _ClassVar[int]
    APPROVED_LOGIT_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    PRICE_SLOPE_FIELD_NUMBER: _ClassVar[int]
    WATERFALL_FIELD_NUMBER: _ClassVar[int]
    NEIGHBOURS_FIELD_NUMBER: _ClassVar[int]
    BINDING_FIELD_NUMBER: _ClassVar[int]
    pd_logit: float
    approved_logit: float
    floor: float
    effects: _containers.RepeatedCompositeFieldContainer[Effect]
    price_slope: float
    waterfall: _containers.ScalarMap[str, float]
    neighbours: _containers.RepeatedCompositeFieldContainer[Neighbour]
    binding: str
    def __init__(self, pd_logit: _Optional[float] = ..., approved_logit: _Optional[float] = ..., floor: _Optional[float] = ..., effects: _Optional[_Iterable[_Union[Effect, _Mapping]]] = ..., price_slope: _Optional[float] = ..., waterfall: _Optional[_Mapping[str, float]] = ..., neighbours: _Optional[_Iterable[_Union[Neighbour, _Mapping]]] = ..., binding: _Optional[str] = ...) -> None: ...

class CounterOffer(_message.Message):
    __slots__ = ("requested_principal", "requested_term_months", "offer", "sentence")
    REQUESTED_PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_TERM_MONTHS_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    requested_principal: float
    requested_term_months: int
    offer: Offer
    sentence: str
    def __init__(self, requested_principal: _Optional[float] = ..., requested_term_months: _Optional[int] = ..., offer: _Optional[_Union[Offer, _Mapping]] = ..., sentence: _Optional[str] = ...) -> None: ...

class OptimiseOffersResponse(_message.Message):
    __slots__ = ("decision_id", "outcome", "currency", "offers", "reasons", "counter_offer", "explanation", "versions", "degraded")
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    COUNTER_OFFER_FIELD_NUMBER: _ClassVar[int]
    EXPLANATION_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    outcome: Outcome
    currency: str
    offers: _containers.RepeatedCompositeFieldContainer[Offer]
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    counter_offer: CounterOffer
    explanation: Explanation
    versions: _containers.ScalarMap[str, str]
    degraded: bool
    def __init__(self, decision_id: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., currency: _Optional[str] = ..., offers: _Optional[_Iterable[_Union[Offer, _Mapping]]] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., counter_offer: _Optional[_Union[CounterOffer, _Mapping]] = ..., explanation: _Optional[_Union[Explanation, _Mapping]] = ..., versions: _Optional[_Mapping[str, str]] = ..., degraded: _Optional[bool] = ...) -> None: ...

class QuoteOfferRequest(_message.Message):
    __slots__ = ("requested_principal", "requested_term_months", "features", "principal", "term_months", "quoted_rate")
    class FeaturesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: Value
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[Value, _Mapping]] = ...) -> None: ...
    REQUESTED_PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_TERM_MONTHS_FIELD_NUMBER: _ClassVar[int]
    FEATURES_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    TERM_MONTHS_FIELD_NUMBER: _ClassVar[int]
    QUOTED_RATE_FIELD_NUMBER: _ClassVar[int]
    requested_principal: float
    requested_term_months: int
    features: _containers.MessageMap[str, Value]
    principal: float
    term_months: int
    quoted_rate: float
    def __init__(self, requested_principal: _Optional[float] = ..., requested_term_months: _Optional[int] = ..., features: _Optional[_Mapping[str, Value]] = ..., principal: _Optional[float] = ..., term_months: _Optional[int] = ..., quoted_rate: _Optional[float] = ...) -> None: ...

class BrokenRule(_message.Message):
    __slots__ = ("code", "reason", "figure", "limit")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FIGURE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    code: str
    reason: str
    figure: float
    limit: float
    def __init__(self, code: _Optional[str] = ..., reason: _Optional[str] = ..., figure: _Optional[float] = ..., limit: _Optional[float] = ...) -> None: ...

class QuoteOfferResponse(_message.Message):
    __slots__ = ("currency", "principal", "term_months", "quoted_rate", "nominal_rate", "apr", "monthly_payment", "total_cost", "p_accept", "pd_lifetime", "npv", "expected_profit", "waterfall", "permitted", "broken", "best", "profit_given_up", "versions")
    class WaterfallEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class VersionsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    TERM_MONTHS_FIELD_NUMBER: _ClassVar[int]
    QUOTED_RATE_FIELD_NUMBER: _ClassVar[int]
    NOMINAL_RATE_FIELD_NUMBER: _ClassVar[int]
    APR_FIELD_NUMBER: _ClassVar[int]
    MONTHLY_PAYMENT_FIELD_NUMBER: _ClassVar[int]
    TOTAL_COST_FIELD_NUMBER: _ClassVar[int]
    P_ACCEPT_FIELD_NUMBER: _ClassVar[int]
    PD_LIFETIME_FIELD_NUMBER: _ClassVar[int]
    NPV_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_PROFIT_FIELD_NUMBER: _ClassVar[int]
    WATERFALL_FIELD_NUMBER: _ClassVar[int]
    PERMITTED_FIELD_NUMBER: _ClassVar[int]
    BROKEN_FIELD_NUMBER: _ClassVar[int]
    BEST_FIELD_NUMBER: _ClassVar[int]
    PROFIT_GIVEN_UP_FIELD_NUMBER: _ClassVar[int]
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    currency: str
    principal: float
    term_months: int
    quoted_rate: float
    nominal_rate: float
    apr: float
    monthly_payment: float
    total_cost: float
    p_accept: float
    pd_lifetime: float
    npv: float
    expected_profit: float
    waterfall: _containers.ScalarMap[str, float]
    permitted: bool
    broken: _containers.RepeatedCompositeFieldContainer[BrokenRule]
    best: Offer
    profit_given_up: float
    versions: _containers.ScalarMap[str, str]
    def __init__(self, currency: _Optional[str] = ..., principal: _Optional[float] = ..., term_months: _Optional[int] = ..., quoted_rate: _Optional[float] = ..., nominal_rate: _Optional[float] = ..., apr: _Optional[float] = ..., monthly_payment: _Optional[float] = ..., total_cost: _Optional[float] = ..., p_accept: _Optional[float] = ..., pd_lifetime: _Optional[float] = ..., npv: _Optional[float] = ..., expected_profit: _Optional[float] = ..., waterfall: _Optional[_Mapping[str, float]] = ..., permitted: _Optional[bool] = ..., broken: _Optional[_Iterable[_Union[BrokenRule, _Mapping]]] = ..., best: _Optional[_Union[Offer, _Mapping]] = ..., profit_given_up: _Optional[float] = ..., versions: _Optional[_Mapping[str, str]] = ...) -> None: ...

class GetDecisionRequest(_message.Message):
    __slots__ = ("decision_id",)
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    def __init__(self, decision_id: _Optional[str] = ...) -> None: ...

class RecordOutcomeRequest(_message.Message):
    __slots__ = ("decision_id", "outcome", "on", "offer")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ON_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    outcome: CustomerOutcome
    on: str
    offer: int
    def __init__(self, decision_id: _Optional[str] = ..., outcome: _Optional[_Union[CustomerOutcome, str]] = ..., on: _Optional[str] = ..., offer: _Optional[int] = ...) -> None: ...

class RecordedOutcome(_message.Message):
    __slots__ = ("decision_id", "outcome", "on", "offer")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ON_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    outcome: CustomerOutcome
    on: str
    offer: int
    def __init__(self, decision_id: _Optional[str] = ..., outcome: _Optional[_Union[CustomerOutcome, str]] = ..., on: _Optional[str] = ..., offer: _Optional[int] = ...) -> None: ...

class DecisionRecord(_message.Message):
    __slots__ = ("decision_id", "at", "portfolio", "channel", "request", "answer", "propensity", "outcomes")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    PORTFOLIO_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    PROPENSITY_FIELD_NUMBER: _ClassVar[int]
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    at: _timestamp_pb2.Timestamp
    portfolio: str
    channel: str
    request: OptimiseOffersRequest
    answer: OptimiseOffersResponse
    propensity: float
    outcomes: _containers.RepeatedCompositeFieldContainer[RecordedOutcome]
    def __init__(self, decision_id: _Optional[str] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., portfolio: _Optional[str] = ..., channel: _Optional[str] = ..., request: _Optional[_Union[OptimiseOffersRequest, _Mapping]] = ..., answer: _Optional[_Union[OptimiseOffersResponse, _Mapping]] = ..., propensity: _Optional[float] = ..., outcomes: _Optional[_Iterable[_Union[RecordedOutcome, _Mapping]]] = ...) -> None: ...
