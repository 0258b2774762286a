"""The engine against the reference: what every task ends as, what it gives, how often it is called, what handlers see."""

from __future__ import annotations

import asyncio

from hypothesis import assume, given

from prefectlite import Runtime
from tests.properties.building import Built, own_api, told_evaluation
from tests.properties.profiles import examples
from tests.properties.reference import Evaluation
from tests.properties.sketches import Sketch
from tests.properties.strategies import sketches


@given(sketches())
@examples(250)
def test_the_engine_does_what_the_reference_does(sketch: Sketch) -> None:
    evaluation = Evaluation(sketch)
    assume(evaluation.strange is None)

    async def run() -> None:
        async with Runtime(database_url="sqlite://:memory:", agent=False):
            built = Built(sketch, own_api())
            async with asyncio.timeout(20):
                outcome = await built.flow.run(**built.arguments())
            assert built.outcome(outcome.state) == told_evaluation(evaluation)

    asyncio.run(run())
