"""A web application with a workflow inside: it runs in the application's own event loop, and its runs can be watched.

    python examples/application.py
    curl http://127.0.0.1:8000/words --data-binary @README.md

Then look at http://127.0.0.1:8000/prefectlite/ for the runs.
"""

from collections import Counter
from contextlib import asynccontextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from prefectlite import Flow, Parameter, Runtime, task


@task
async def paragraphs(text):
    """The parts of a text that are separated by empty lines."""
    found = [part for part in text.split("\n\n") if part.strip()]
    if not found:
        raise ValueError("the text is empty")
    return found


@task
def count(paragraph):
    """How often each word is in a paragraph. A plain function: it runs in a thread and keeps no request waiting."""
    words = (word.strip(".,:;!?()\"'").lower() for word in paragraph.split())
    return Counter(word for word in words if word)


@task
async def add_up(counts):
    """The ten most frequent words of all paragraphs."""
    return dict(sum(counts, Counter()).most_common(10))


with Flow("words") as flow:
    frequent = add_up(count.map(paragraphs(Parameter("text"))))


async def words(request):
    """Run the flow on the body of the request and answer with what it found."""
    text = (await request.body()).decode("utf-8", "replace")
    run = await flow.run(text=text)
    link = str(request.url_for("prefectlite", path=f"/runs/{run.id}"))
    if not run.is_successful():
        return JSONResponse({"error": run.message, "run": link}, status_code=422)
    return JSONResponse({"words": run[frequent], "run": link})


@asynccontextmanager
async def lifespan(app):
    """Database, engine, agent and API are open as long as the application is."""
    async with Runtime([flow]) as runtime:
        app.mount("/prefectlite", runtime.app, name="prefectlite")
        yield


app = Starlette(routes=[Route("/words", words, methods=["POST"])], lifespan=lifespan)


if __name__ == "__main__":
    uvicorn.run(app, port=8000)
