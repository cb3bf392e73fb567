/** What the tabs of a browser have in common: locks, and channels between them. */

/** @typedef {{ isStopped?: boolean, later?: (() => void)[] }} Owner A tab. */
/** @typedef {{ owner: Owner, run: () => any, done: (value?: unknown) => void, fail: (error: unknown) => void }} Request */

/** A tab that is stopped does it when it goes on. @param {Owner} owner @param {() => void} run */
const inTurn = (owner, run) => owner.isStopped ? owner.later?.push(run) : run()

export class FakeLocks {
  /** By name: who holds it, and who waits. @type {Map<string, { held?: Request, queue: Request[] }>} */
  #locks = new Map()

  /**
   * As `navigator.locks` of one tab.
   * @param {object} owner
   */
  of(owner) {
    return {
      /**
       * @param {string} name
       * @param {{ signal?: AbortSignal, steal?: boolean }} options
       * @param {() => any} run
       */
      request: (name, options, run) => new Promise((done, fail) => {
        let lock = this.#locks.get(name)
        if (!lock) this.#locks.set(name, lock = { queue: [] })
        const request = { owner, run, done, fail }
        if (options.steal) {
          const { held } = lock
          if (held) inTurn(held.owner, () => held.fail(new DOMException('stolen', 'AbortError')))
          lock.held = undefined
          lock.queue.unshift(request)
        } else {
          lock.queue.push(request)
        }
        options.signal?.addEventListener('abort', () => {
          const queue = /** @type {Request[]} */ (lock?.queue)
          if (!queue.includes(request)) return
          queue.splice(queue.indexOf(request), 1)
          fail(new DOMException('aborted', 'AbortError'))
        })
        queueMicrotask(() => this.#grant(name))
      }),
    }
  }

  /** The tab is gone. @param {object} owner */
  release(owner) {
    for (const [name, lock] of this.#locks) {
      lock.queue = lock.queue.filter((request) => request.owner !== owner)
      if (lock.held?.owner === owner) lock.held = undefined
      this.#grant(name)
    }
  }

  /** @param {string} name */
  async #grant(name) {
    const lock = this.#locks.get(name)
    if (!lock || lock.held) return
    const request = lock.held = lock.queue.shift()
    if (!request) return
    const value = await new Promise((done) => { inTurn(request.owner, () => done(request.run())) })
    if (lock.held !== request) return
    lock.held = undefined
    request.done(value)
    this.#grant(name)
  }
}

/** The channels of a browser. */
export class FakeChannels {
  /** @type {Set<{ name: string, owner: any, onmessage: ((event: any) => void) | null }>} */
  #all = new Set()
  /** Tabs whose messages are lost with them. @type {WeakSet<object>} */
  #gone = new WeakSet()

  /**
   * As `BroadcastChannel` in one tab. Messages take a moment, and those of a tab that crashes may never leave it.
   * @param {{ isStopped?: boolean }} owner
   * @param {import('./clock.js').VirtualClock} clock
   * @returns {any}
   */
  of(owner, clock) {
    const all = this.#all
    const gone = this.#gone
    return class {
      /** @type {((event: any) => void) | null} */
      onmessage = null

      /** @param {string} name */
      constructor(name) {
        this.name = name
        this.owner = owner
        all.add(this)
      }

      /** @param {any} message */
      postMessage(message) {
        const data = structuredClone(message)
        for (const other of all) {
          if (other !== this && other.name === this.name) clock.setTimeout(() => all.has(other) && !gone.has(owner) && deliver(other, data), 3)
        }
      }

      close() {
        all.delete(this)
      }
    }

    /** @param {any} channel @param {any} data */
    function deliver(channel, data) {
      // A tab that is stopped reads it when it goes on.
      inTurn(channel.owner, () => channel.onmessage?.({ data }))
    }
  }

  /** The tab is gone. @param {object} owner */
  release(owner) {
    this.#gone.add(owner)
    for (const channel of this.#all) if (channel.owner === owner) this.#all.delete(channel)
  }
}
