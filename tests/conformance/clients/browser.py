"""A headless Chromium, driven over the DevTools protocol."""

import asyncio
import base64
import json
import shutil
import subprocess
from contextlib import asynccontextmanager

from program import TIMEOUT, running
from websockets.asyncio.client import connect


def chromium(profile, *args):
    """Returns a context manager that runs Chromium with this profile."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "chromium is not installed"
    quiet = ["--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]
    command = [program, "--headless", "--no-sandbox", *quiet, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
    return running([*command, *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@asynccontextmanager
async def browsing(profile):
    """Runs a browser to open tabs in."""
    with chromium(profile, "about:blank") as process:
        # Chromium prints its address, and more output later. Drain it, or the pipe fills up.
        for line in process.stderr:
            if "DevTools listening on " in line:
                address = line.split("DevTools listening on ")[1].strip()
                break
        else:
            raise AssertionError("chromium did not print the address of its DevTools")
        drain = asyncio.create_task(asyncio.to_thread(process.stderr.read))
        async with connect(address, max_size=64 << 20, open_timeout=TIMEOUT) as socket:
            browser = Browser(socket)
            try:
                await browser.send("Target.setDiscoverTargets", discover=True)
                yield browser
            finally:
                browser.reader.cancel()
                process.kill()
                await drain
                process.stderr.close()


class Browser:
    def __init__(self, socket):
        self.socket = socket
        self.next = 0
        self.answers = {}
        self.tabs = {}
        self.targets = {}
        self.changed = asyncio.Condition()
        self.reader = asyncio.create_task(self.read())

    async def read(self):
        async for text in self.socket:
            message = json.loads(text)
            if "id" in message:
                self.answers.pop(message["id"]).set_result(message)
                continue
            method, params = message["method"], message["params"]
            if method in ("Target.targetCreated", "Target.targetInfoChanged"):
                self.targets[params["targetInfo"]["targetId"]] = params["targetInfo"]
            elif method == "Target.targetDestroyed":
                self.targets.pop(params["targetId"], None)
            if tab := self.tabs.get(message.get("sessionId")):
                tab.on_event(method, params)
            async with self.changed:
                self.changed.notify_all()

    async def send(self, method, session=None, **params):
        self.next += 1
        answer = self.answers[self.next] = asyncio.get_running_loop().create_future()
        message = {"id": self.next, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        await self.socket.send(json.dumps(message))
        message = await asyncio.wait_for(answer, TIMEOUT)
        assert "error" not in message, f"{method}: {message}"
        return message["result"]

    async def until(self, ready):
        """Waits until `ready()` is true of the browser's targets."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(ready), TIMEOUT)

    async def attach(self, target):
        answer = await self.send("Target.attachToTarget", targetId=target, flatten=True)
        tab = Tab(self, target, answer["sessionId"])
        self.tabs[tab.session] = tab
        for domain in ("Runtime", "Log", "Page", "Network"):
            await tab.send(f"{domain}.enable")
        return tab

    async def open(self, url, any_certificate=False):
        """Opens a new tab, which can be told to accept certificates that it does not trust."""
        target = (await self.send("Target.createTarget", url="about:blank"))["targetId"]
        tab = await self.attach(target)
        if any_certificate:
            await tab.send("Security.enable")
            await tab.send("Security.setIgnoreCertificateErrors", ignore=True)
        await tab.send("Page.navigate", url=url)
        return tab

    async def opened_by(self, act):
        """Returns the tab that `act()` opens."""
        known = set(self.targets)
        await act()
        pages = lambda: [t for t, info in self.targets.items() if t not in known and info["type"] == "page"]
        await self.until(pages)
        return await self.attach(pages()[0])


KEYS = {
    "Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), " ": ("Space", 32, " "),
    "ArrowRight": ("ArrowRight", 39, ""), "ArrowLeft": ("ArrowLeft", 37, ""),
}


class Tab:
    def __init__(self, browser, target, session):
        self.browser, self.target, self.session = browser, target, session
        self.errors = []

    def send(self, method, **params):
        return self.browser.send(method, session=self.session, **params)

    def on_event(self, method, params):
        if method == "Runtime.exceptionThrown":
            self.errors.append(("exception", json.dumps(params["exceptionDetails"])))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.errors.append(("console", json.dumps(params["args"])))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append((params["entry"]["source"], json.dumps(params["entry"])))

    async def value(self, script):
        """Evaluates an expression, and awaits its promise."""
        answer = await self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    async def until(self, script):
        """Waits until an expression is true. It is evaluated after each change of the document."""
        wait = f"""new Promise((resolve, reject) => {{
            const holds = () => {{ try {{ return ({script}); }} catch {{ return false; }} }};
            if (holds()) return resolve(true);
            const observer = new MutationObserver(() => {{ if (holds()) {{ observer.disconnect(); resolve(true); }} }});
            observer.observe(document, {{subtree: true, childList: true, characterData: true, attributes: true}});
            setTimeout(() => reject(new Error("not within {TIMEOUT - 5} s")), {(TIMEOUT - 5) * 1000});
        }})"""
        try:
            await self.value(wait)
        except AssertionError as error:
            # A reload may have replaced the document in the meantime.
            if "Execution context was destroyed" in str(error) or "Promise was collected" in str(error):
                return await self.until(script)
            text = await self.value("document.body ? document.body.innerText : ''")
            raise AssertionError(f"{script} did not become true; the page shows:\n{text}") from error

    async def reload(self):
        """Reloads, and waits for the new document."""
        await self.value("window.old = true")
        await self.send("Page.reload")
        while await self.value("window.old === true || document.readyState !== 'complete'"):
            pass

    async def press(self, key, modifiers=0):
        code, number, text = KEYS[key]
        event = {"key": key, "code": code, "windowsVirtualKeyCode": number, "modifiers": modifiers}
        await self.send("Input.dispatchKeyEvent", type="keyDown", text=text, **event)
        await self.send("Input.dispatchKeyEvent", type="keyUp", **event)

    async def type(self, text):
        await self.send("Input.insertText", text=text)

    async def focus(self, selector):
        """Moves the focus to the element with the Tab key, as a user without a mouse does."""
        for _ in range(60):
            if await self.value(f"document.activeElement?.matches({json.dumps(selector)}) ?? false"):
                return
            await self.press("Tab")
        raise AssertionError(f"the Tab key does not reach {selector}")

    async def screenshot(self, path, width, height, scheme, mobile=False):
        """Saves a screenshot of the whole page."""
        await self.send("Page.bringToFront")
        await self.set_screen(width, height, scheme, mobile)
        size = (await self.send("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": width, "height": size["height"], "scale": 1}
        picture = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        with open(path, "wb") as file:
            file.write(base64.b64decode(picture["data"]))

    async def set_screen(self, width, height, scheme, mobile=False):
        """Sets the size of the screen and the colour scheme."""
        await self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        await self.send("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def close(self):
        await self.send("Page.close")
        await self.browser.until(lambda: self.target not in self.browser.targets)
