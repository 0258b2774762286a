"""Texts that would run as script where a page takes text for markup, shown everywhere that a page shows what users named.

The content security policy is switched off: the pages themselves must be safe, and it is there for what nobody thought of.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import quote, urlencode

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import unused_port, watched_page
from tests.scenarios.processes import Server, serving, wait_until

#: `HIT` is what a text does if it runs.
HIT = "alert(1)"
TEXTS = [
    text.replace("HIT", HIT)
    for text in (
        "<script>HIT</script>",
        "<ScRiPt>HIT</sCrIpT>",
        "<script src=data:text/javascript,HIT></script>",
        "</script><script>HIT</script>",
        "</title><script>HIT</script>",
        "</textarea><script>HIT</script>",
        "</style><script>HIT</script>",
        "--><script>HIT</script><!--",
        "]]><script>HIT</script>",
        "<img src=x onerror=HIT>",
        "<img src=x onerror='HIT'//",
        '"><img src=x onerror=HIT>',
        "'><img src=x onerror=HIT>",
        "<img/src=x/onerror=HIT>",
        "<img src=x:x onerror\n=\nHIT>",
        "<image href=x onerror=HIT>",
        "<svg onload=HIT>",
        "<svg/onload=HIT//",
        "<svg><script>HIT</script></svg>",
        "<svg><animate onbegin=HIT attributeName=x dur=1s>",
        "<svg><a xlink:href=javascript:HIT><text y=20>x</text></a></svg>",
        "<math><mi xlink:href=javascript:HIT>x</mi></math>",
        "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=x onerror=HIT&gt;'>",
        "<iframe src=javascript:HIT></iframe>",
        "<iframe srcdoc='<script>parent.HIT</script>'></iframe>",
        "<object data=javascript:HIT></object>",
        "<embed src=javascript:HIT>",
        "<body onload=HIT>",
        "<video><source onerror=HIT></video>",
        "<audio src=x onerror=HIT>",
        "<details open ontoggle=HIT>x</details>",
        "<input autofocus onfocus=HIT>",
        "<select autofocus onfocus=HIT></select>",
        "<form><button formaction=javascript:HIT autofocus onfocus=HIT>x</button></form>",
        "<marquee onstart=HIT>x</marquee>",
        "<a href=javascript:HIT id=x tabindex=1 onfocus=HIT autofocus>x</a>",
        "<style>@keyframes x{}</style><b style=animation-name:x onanimationstart=HIT>x</b>",
        "<link rel=stylesheet href=x onerror=HIT>",
        "<meta http-equiv=refresh content='0;url=javascript:HIT'>",
        "<base href=javascript:HIT//>",
        "<template><img src=x onerror=HIT></template>",
        "<noscript><p title='</noscript><img src=x onerror=HIT>'>",
        "<x onclick=HIT id=x style=position:fixed;inset:0>x</x>",
        "<portal src=javascript:HIT onload=HIT>",
        "javascript:HIT",
        "JaVaScRiPt:HIT//%0aHIT",
        "data:text/html,<script>HIT</script>",
        '[x](javascript:HIT) ![x](x"onerror="HIT)',
        "{{constructor.constructor('HIT')()}} ${HIT} <%= HIT %> #{HIT}",
        "&lt;img src=x onerror=HIT&gt; &#x3c;script&#x3e;HIT&#x3c;/script&#x3e;",
        "%3Cscript%3EHIT%3C/script%3E",
        "\\u003cscript\\u003eHIT\\u003c/script\\u003e \\x3cscript\\x3e",
        "+ADw-script+AD4-HIT+ADw-/script+AD4-",
        "\x1b]8;;javascript:HIT\x1b\\x\x1b]8;;\x1b\\ \x1b[31mred",
        "\u202e<script>HIT</script>\u2066\u200b\ufeff",
        "__proto__",
        "constructor",
        '{"__html": "<img src=x onerror=HIT>", "dangerouslySetInnerHTML": 1}',
    )
]
FLOWS = """
import json
from pathlib import Path
from prefectlite import Flow, Parameter, context, task

texts = json.loads(Path("texts.json").read_text())
names = ["".join(letter if letter.isprintable() else " " for letter in text) for text in texts]  # others are no names

def work_of(text):
    def work(value):
        context.logger.warning(text)
        raise RuntimeError(text)
    return work

with Flow("everything") as everything:
    for text, name in zip(texts, names):
        task(work_of(text), name=name)(Parameter(f"value of {name}", default=text))
        task(lambda number: number, name=f"mapped {name}").map([1])

for number, name in enumerate(names):
    with Flow(name) as globals()[f"flow_{number}"]:
        task(lambda value: value, name=name)(Parameter(name, default=texts[number]))
"""
ATTACH = "mutation ($i: create_task_run_artifact_input!) { create_task_run_artifact(input: $i) { id } }"
CREATE = "mutation ($i: create_flow_run_input!) { create_flow_run(input: $i) { id } }"
#: What no page has, unless a text was taken for markup.
FOREIGN = (
    "#root :is(img, image, iframe, object, embed, video, audio, math, marquee, portal, template, style, meta, base, link,"
    " noscript, script, x, animate), body > :not(#root, noscript, script[src])"
)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that has run a flow of every text."""
    home = tmp_path_factory.mktemp("home")
    (home / "texts.json").write_text(json.dumps(TEXTS))
    (home / "hostile.py").write_text(FLOWS)
    with serving("hostile.py", port=unused_port(), cwd=home, PREFECTLITE_HOME=str(home)) as server:
        yield server


def run_all(server: Server) -> list[tuple[str, str, str]]:
    """The ids of runs and of their flows, and the flows' names; the first has run, the others are due much later."""
    runs = []
    for flow in server.graphql("{ flow(limit: 200) { id name } }")["flow"]:
        name, later = flow["name"], "2999-01-01T00:00:00Z"
        given = {"flow_id": flow["id"], "flow_run_name": name, "parameters": {name: {name: [name]}}}
        if name == "everything":
            runs.insert(0, (server.start(name), flow["id"], name))
        else:
            made = server.graphql(CREATE, i=given | {"scheduled_start_time": later})
            runs.append((made["create_flow_run"]["id"], flow["id"], name))
    wait_until(lambda: server.state(runs[0][0]) == "Failed")
    tasks = server.graphql("{ task_run(limit: 200, where: {map_index: {_eq: -1}}) { id task { name } } }")["task_run"]
    for row in tasks[:: len(tasks) // 5]:
        for kind in ("markdown", "link"):
            server.graphql(ATTACH, i={"task_run_id": row["id"], "kind": kind, "data": {kind: row["task"]["name"]}})
    return runs


@pytest.mark.asyncio
async def test_no_text_runs_on_any_page(hostile: Server, browser: Browser) -> None:
    runs = run_all(hostile)
    assert len(runs) == len(TEXTS) + 1
    odd = [run for run in runs if "<" not in run[2]]  # no markup, other dangers
    async with watched_page(browser, bypass_csp=True) as page:
        hits: list[str] = []
        page.on("dialog", lambda dialog: hits.append(dialog.message))
        await page.add_init_script("window.alert = (text) => console.error(`a text ran: ${text}`)")
        await page.goto(hostile.url)
        await expect(page.get_by_role("table", name="Flow runs").get_by_role("row").nth(20)).to_be_visible()
        await check(page)
        await page.goto(f"{hostile.url}/flows")
        await expect(page.get_by_role("heading", level=2)).to_have_count(len(TEXTS) + 1)
        await check(page)
        for run_id, flow_id, _ in [*runs[::9], *odd]:
            await page.goto(f"{hostile.url}/runs/{run_id}")
            await expect(page.get_by_role("status", name="Run state")).to_be_visible()
            if run_id == runs[0][0]:
                await look_at_everything(page)
            await check(page)
            await page.goto(f"{hostile.url}/flows/{flow_id}")
            await expect(page.get_by_role("dialog")).to_be_visible()
            await check(page)
        for text in TEXTS[::8]:
            await page.goto(f"{hostile.url}/?{urlencode({'flow': text, 'group': text, 'page': text})}#{quote(text)}")
            await expect(page.get_by_role("main")).to_be_visible()
            await check(page)
        assert not hits


async def look_at_everything(page: Page) -> None:
    """Bring all that the page of the large run has into sight."""
    await page.get_by_role("button", name="Show more tasks").click()
    for text in TEXTS:
        await expect(page.get_by_role("log")).to_contain_text(f"RuntimeError: {text}")
    await page.get_by_role("button", name="Children of").first.click()
    await expect(page.get_by_role("region").filter(has_text="mapped __proto__").first).to_be_visible()


async def check(page: Page) -> None:
    """Nothing of the page came from a text."""
    assert await page.locator(FOREIGN).evaluate_all("(found) => found.map((element) => element.outerHTML)") == []
    links = await page.evaluate("[...document.querySelectorAll('a, area, form')].map((e) => e.href ?? e.action)")
    assert {str(link).partition(":")[0] for link in links} <= {"http"}
