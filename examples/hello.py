"""The smallest flow: one parameter, one task.

python examples/hello.py
python -m prefectlite run examples/hello.py -p name=Marvin
"""

from prefectlite import Flow, Parameter, task


@task
def say_hello(name):
    print(f"Hello, {name}!")


with Flow("My First Flow") as flow:
    name = Parameter("name")
    say_hello(name)


if __name__ == "__main__":
    flow.run(name="world")
