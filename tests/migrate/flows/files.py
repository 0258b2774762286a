"""Results in files, targets, resources, handlers, loops and subclasses of Task."""

import json
import tempfile
from pathlib import Path

import prefect.engine.signals
from prefect import resource_manager, tags
from prefect.core import Flow, Parameter, Task
from prefect.core.parameter import DateTimeParameter
from prefect.engine.results import LocalResult
from prefect.engine.serializers import JSONSerializer
from prefect.executors import LocalDaskExecutor
from prefect.tasks.core.collections import List
from prefect.utilities.edges import flatten
from prefect.utilities.logging import get_logger
from prefect.utilities.tasks import defaults_from_attrs, task

FOLDER = tempfile.mkdtemp()
SEEN = []
logger = get_logger("files")


def note(obj, old, new):
    if new.is_finished():
        SEEN.append(obj.name)
    return new


class Greet(Task):
    def __init__(self, word="Hello", **kwargs):
        self.word = word
        super().__init__(**kwargs)

    @defaults_from_attrs("word")
    def run(self, name, word=None):
        return f"{word}, {name}!"


@task
def grow():
    size = prefect.context.get("task_loop_result", 1)
    if size < 20:
        raise prefect.engine.signals.LOOP(result=size * 2)
    return size


@resource_manager
class Folder:
    def __init__(self, path):
        self.path = path

    def setup(self):
        return self.path

    def cleanup(self, path):
        SEEN.append("cleaned up")


@task(target="{parameters[name]}.json", result=LocalResult(dir=FOLDER, serializer=JSONSerializer()), checkpoint=True)
def kept(words):
    return words


@task
def letters(word):
    return list(word)


@task
def upper(letter):
    return letter.upper()


with Flow("files", executor=LocalDaskExecutor(), state_handlers=[note]) as flow:
    name = Parameter("name", default="ann")
    DateTimeParameter("when", required=False)
    with tags("polite"):
        greeting = Greet(state_handlers=[note])(name)
    with Folder(FOLDER) as folder:
        size = grow(upstream_tasks=[folder])
    both = List().bind(greeting, size)
    written = kept(both)
    spelled = upper.map(flatten(letters.map(["ab", "c"])))

if __name__ == "__main__":
    state = flow.run(parameters={"name": "eve"})
    content = json.loads((Path(FOLDER) / "eve.json").read_text())
    told = {
        "ok": state.is_successful(),
        "greeting": state.result[greeting].result,
        "file": content,
        "spelled": state.result[spelled].result,
        "seen": sorted(SEEN),
        "tagged": sorted(task.name for task in flow.get_tasks(tags=["polite"])),
    }
    print(json.dumps(told))
