/** Named listeners. Knows nothing else. */

/** @typedef {(value: any) => void} Listener */

export class Emitter {
  /** @type {Map<string, Set<Listener>>} */
  #listeners = new Map();

  /**
   * Call `fn` for every `name`.
   * @param {string} name
   * @param {Listener} fn
   * @returns {() => void} takes the listener off again
   */
  on(name, fn) {
    let set = this.#listeners.get(name);
    if (!set) this.#listeners.set(name, (set = new Set()));
    set.add(fn);
    return () => this.off(name, fn);
  }

  /**
   * Call `fn` for the next `name` only.
   * @param {string} name
   * @param {Listener} fn
   * @returns {() => void}
   */
  once(name, fn) {
    const stop = this.on(name, (value) => {
      stop();
      fn(value);
    });
    return stop;
  }

  /** @param {string} name @param {Listener} fn */
  off(name, fn) {
    this.#listeners.get(name)?.delete(fn);
  }

  /** @param {string} name */
  hears(name) {
    return Boolean(this.#listeners.get(name)?.size);
  }

  /**
   * For this package only. A listener that throws must not stop the others nor break the order of events, so its error goes where
   * uncaught errors go.
   * @param {string} name
   * @param {any} value
   */
  _emit(name, value) {
    for (const fn of [...(this.#listeners.get(name) ?? [])]) {
      try {
        fn(value);
      } catch (error) {
        if (typeof globalThis.reportError === "function") globalThis.reportError(error);
        else console.error(error);
      }
    }
  }
}
