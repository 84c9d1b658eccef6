"""What if: an applicant's price curves and offers as they would be under other assumptions."""

from finntelligence import cashflow
from finntelligence.curve import price_curves
from finntelligence.optimiser import optimum
from finntelligence.quote import quote
from serving import wire, wire_curves, wire_quotes
from serving.handler import Engine
from serving.tracing import stage

__all__ = ["what_if"]


async def what_if(asked: wire_curves.CurveRequest, engine: Engine) -> wire_curves.CurveResponse:
    """Return the curves, the menu, and the value of the terms asked about.

    Raises:
        InvalidApplicationError: naming what is wrong with the application, assumptions or terms.
        ModelUnavailableError: when a model does not answer.
    """
    with stage("validate"):
        portfolio = engine.market.portfolio
        application = wire.to_core(asked, portfolio)
        assumed = asked.assume.to_core()
        market = assumed.of(engine.market)
        amount = wire_curves.permitted_amount(asked, application, market.policy)
    risk, acceptance = await engine.score(engine.row(application))
    question = (application, market, risk[0], acceptance[0])
    with stage("decide"):
        offers = optimum(*question).offers
        curves = price_curves(*question, amount)
        terms = wire_curves.asked_terms(asked, curves)
        valued = quote(*question, amount, *terms) if terms else None  # type: ignore[arg-type]
    versions, economics = dict(engine.versions), market.policy.economics
    rows = None
    if valued is not None:
        rows = cashflow.schedule(valued.principal, valued.nominal_rate, valued.term_months)
    return wire_curves.CurveResponse(
        currency=portfolio.currency,
        convention=portfolio.price.convention.value,
        assumed=wire_curves.Assumed(
            cost_of_funds=economics.cost_of_funds,
            lgd=economics.lgd,
            shadow_price=market.prices.principal,
        ),
        amounts=wire_curves.amounts(application, market.policy),
        principal=amount,
        tick=market.policy.tick,
        offers=[wire.offer_from_core(offer) for offer in offers],
        curves=[wire_curves.curve_from_core(curve) for curve in curves],
        quote=wire_quotes.from_core(valued, portfolio.currency, versions) if valued else None,
        schedule=wire_curves.schedule_from_core(rows) if rows else None,
        versions=versions,
    )
