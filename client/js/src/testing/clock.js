/** Virtual time: nothing happens until it is advanced, and then in order. */

/** @typedef {{ at: number, run: () => void }} Timer */

export class VirtualClock {
  /** What timers go by. */
  #passed = 0
  /** What the clock shows when nothing has passed. */
  #start
  /** @type {Map<number, Timer>} */
  #timers = new Map()
  #names = 0

  /** @param {number} [start] In milliseconds since 1970. */
  constructor(start = 1_767_225_600_000) {
    this.#start = start
    this.now = this.now.bind(this)
    this.setTimeout = this.setTimeout.bind(this)
    this.clearTimeout = this.clearTimeout.bind(this)
  }

  now() {
    return this.#start + this.#passed
  }

  /** Milliseconds that have passed, whatever the clock shows. */
  get passed() {
    return this.#passed
  }

  /** Timers that are set. */
  get pending() {
    return this.#timers.size
  }

  /**
   * @param {() => void} run
   * @param {number} [ms]
   */
  setTimeout(run, ms = 0) {
    this.#timers.set(++this.#names, { at: this.#passed + Math.max(0, ms), run })
    return this.#names
  }

  /** @param {number} name */
  clearTimeout(name) {
    this.#timers.delete(name)
  }

  /**
   * Lets time pass, and every timer run when it is due.
   * @param {number} [ms]
   */
  async advance(ms = 0) {
    const end = this.#passed + ms
    await settled()
    for (;;) {
      const [name, timer] = this.#next() ?? []
      if (!timer || timer.at > end) break
      this.#passed = Math.max(this.#passed, timer.at)
      this.#timers.delete(/** @type {number} */ (name))
      timer.run()
      await settled()
    }
    this.#passed = end
  }

  /**
   * The machine sleeps: time passes and no timer runs. Those that are due run late.
   * @param {number} ms
   */
  sleep(ms) {
    this.#passed += ms
  }

  /**
   * The clock is set; timers do not notice.
   * @param {number} ms Less than nothing: it goes back.
   */
  jump(ms) {
    this.#start += ms
  }

  /** @returns {[number, Timer] | undefined} */
  #next() {
    let next
    for (const entry of this.#timers) if (!next || entry[1].at < next[1].at) next = entry
    return next
  }
}

/** What promises have waiting is done. */
async function settled() {
  for (let turn = 0; turn < 20; turn++) await null
}
