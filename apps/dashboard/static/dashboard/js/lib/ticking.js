/** `<ac-time>`, `<ac-left>` and `<ac-since>`: times that keep themselves up to date. */

import { ago, duration, exact, left, millis, now, SECOND } from "./time.js";

// One clock for all elements of the page, a second apart; each writes only when its text differs.
const ticking = new Set();
setInterval(() => {
  if (!document.hidden) for (const el of ticking) el.tick();
}, SECOND);

class Ticking extends HTMLElement {
  static observedAttributes = ["at"];
  connectedCallback() {
    ticking.add(this);
    this.tick();
  }
  disconnectedCallback() {
    ticking.delete(this);
  }
  attributeChangedCallback() {
    this.title = exact(this.getAttribute("at"));
    this.tick();
  }
  tick() {
    const wanted = this.words(this.getAttribute("at"));
    if (this.textContent !== wanted) this.textContent = wanted;
  }
}

/** `<ac-time at="…">`: a relative time, exact on hover. */
class RelativeTime extends Ticking {
  words(at) {
    return ago(at);
  }
}

/** `<ac-left at="…">`: the time left; says so when it is over, and turns urgent in the last half minute. */
class TimeLeft extends Ticking {
  words(at) {
    const rest = left(at);
    const soon = millis(at) - now() < 30 * SECOND;
    if (this.hasAttribute("data-soon") !== soon) this.toggleAttribute("data-soon", soon);
    return rest ? `${rest} left` : "time is over";
  }
}

/** `<ac-since at="…">`: how long something has been going on. */
class Since extends Ticking {
  words(at) {
    const gone = Math.max(0, now() - millis(at));
    return Number.isFinite(gone) ? duration(Math.floor(gone / SECOND) * SECOND).replace(".0 s", " s") : "";
  }
}

customElements.define("ac-time", RelativeTime);
customElements.define("ac-left", TimeLeft);
customElements.define("ac-since", Since);
