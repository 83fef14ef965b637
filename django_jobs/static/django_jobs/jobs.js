/* Pages are complete without this. It changes nothing but texts and the shapes of charts. */
(function () {
  "use strict";
  const all = (selector) => Array.from(document.querySelectorAll(selector));
  const one = (selector) => document.querySelector(selector);

  function choose() {
    const every = one("[data-jobs-every]"), count = one("[data-jobs-count]");
    const boxes = all(".action-select");
    if (!count) return;
    const said = count.dataset.jobsCount;
    const update = () => {
      const chosen = boxes.filter((box) => box.checked).length;
      count.textContent = said.replace("N", chosen.toLocaleString(document.documentElement.lang || undefined));
      every.checked = chosen === boxes.length;
      every.indeterminate = chosen > 0 && chosen < boxes.length;
    };
    every.hidden = false;
    every.addEventListener("change", () => {
      boxes.forEach((box) => { box.checked = every.checked; });
      update();
    });
    boxes.forEach((box) => box.addEventListener("change", update));
    update();
  }

  function copy() {
    all("[data-jobs-copy]").forEach((button) => {
      if (!navigator.clipboard) return;
      button.hidden = false;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(button.parentElement.querySelector("pre").textContent);
        const said = button.textContent;
        button.textContent = button.dataset.jobsCopy;
        setTimeout(() => { button.textContent = said; }, 2000);
      });
    });
  }

  function tick() {
    const words = new Intl.RelativeTimeFormat(document.documentElement.lang || undefined, { style: "short" });
    const units = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
    const update = () => all("#content-main time").forEach((time) => {
      const seconds = (new Date(time.dateTime) - Date.now()) / 1000;
      const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= 2 * length) || units[3];
      time.textContent = words.format(Math.round(seconds / length), unit);
    });
    update();
    setInterval(update, 15000);
  }

  function bulk() {
    const bar = one("[data-jobs-bulk]"), form = one("#jobs-step");
    if (!bar || !form) return;
    const button = form.querySelector("button");
    const step = async () => {
      let wait = 0;
      try {
        const answer = await fetch("", {
          method: "POST", body: new FormData(form), headers: { Accept: "application/json" }, redirect: "manual",
        });
        if (answer.type === "opaqueredirect" || answer.status === 403 || answer.status === 404) {
          button.hidden = false; // it leads to what is wrong
          return;
        }
        const found = await answer.json();
        if (bar.value === found.done) wait = 1000; // another tab does a step
        bar.value = found.done;
        one("#jobs-said").textContent = found.said;
        if (found.over) {
          bar.value = bar.max;
          form.hidden = true;
          one("#jobs-over").hidden = false;
          return;
        }
      } catch { wait = 5000; }
      setTimeout(step, wait);
    };
    button.hidden = true;
    step();
  }

  function live() {
    const home = one("[data-jobs-live]");
    if (!home) return;
    const status = one("[data-jobs-status]"), button = one("[data-jobs-pause]");
    const shape = home.dataset.jobsShape;
    let paused = localStorage.getItem("django-jobs-paused") === "yes", timer = 0, pause = 5000;
    const say = (state) => {
      home.dataset.state = state;
      if (status.textContent !== status.dataset[state]) status.textContent = status.dataset[state];
    };
    const later = () => { timer = setTimeout(look, pause * (0.9 + 0.2 * Math.random())); };
    const show = (found) => {
      all("[data-jobs-text]").forEach((node) => {
        const text = found.text[node.dataset.jobsText];
        if (text !== undefined && node.textContent !== text) node.textContent = text;
      });
      all("[data-jobs-path]").forEach((node) => {
        const path = found.paths[node.dataset.jobsPath];
        if (path !== undefined) node.setAttribute("d", path);
      });
      say(found.shape === shape ? "live" : "changed");
    };
    const look = async () => {
      if (paused || document.hidden) return;
      try {
        const answer = await fetch(home.dataset.jobsLive, {
          redirect: "manual", signal: AbortSignal.timeout(8000),
        });
        if (answer.type === "opaqueredirect" || answer.status === 403) { say("out"); return; }
        if (!answer.ok) throw new Error(answer.status);
        show(await answer.json());
        pause = 5000;
      } catch {
        say("away");
        pause = Math.min(60000, pause * 2);
      }
      later();
    };
    const go = (now) => {
      clearTimeout(timer);
      button.setAttribute("aria-pressed", String(paused));
      if (paused) say("paused");
      else if (!document.hidden) now ? look() : later();
    };
    home.hidden = false;
    button.addEventListener("click", () => {
      paused = !paused;
      localStorage.setItem("django-jobs-paused", paused ? "yes" : "no");
      if (!paused) say("live");
      go(true);
    });
    document.addEventListener("visibilitychange", () => go(true));
    go(false);
  }

  choose(); copy(); tick(); bulk(); live();
})();
