/** A page, a network and a server in virtual time: everything that a client has to do with. */
import { VirtualClock } from './clock.js'
import { FakeServer } from './server.js'
import { FakeStream } from './streams.js'
import { FakeChannels, FakeLocks } from './tabs.js'

/** What a page keeps: of all tabs of a browser, or of one tab. */
export class FakeStorage {
  /** @param {FakeStorage} [copied] As a duplicated tab has it. */
  constructor(copied) {
    if (copied) Object.assign(this, copied)
  }

  /** @param {string} key @returns {string | null} */
  getItem(key) {
    return /** @type {any} */ (this)[key] ?? null
  }

  /** @param {string} key @param {string} value */
  setItem(key, value) {
    /** @type {any} */ (this)[key] = String(value)
  }

  /** @param {string} key */
  removeItem(key) {
    delete /** @type {any} */ (this)[key]
  }
}

/** One tab. `scope` is the world of its client. */
export class FakePage {
  #window = new EventTarget()
  #document = new EventTarget()
  #world
  /** The system stopped it: nothing of it runs. */
  isStopped = false
  /** @type {Set<any>} */
  #sockets = new Set()
  /** What it will read then. @type {(() => void)[]} */
  later = []

  /**
   * @param {World} world
   * @param {FakeStorage} sessionStorage
   */
  constructor(world, sessionStorage) {
    const { clock, server } = world
    this.#world = world
    this.sessionStorage = sessionStorage
    /** What listens to this page. */
    this.listeners = 0
    /** @param {EventTarget} target */
    const listening = (target) => ({
      /** @param {string} type @param {any} listener */
      addEventListener: (type, listener) => {
        this.listeners++
        target.addEventListener(type, listener)
      },
      /** @param {string} type @param {any} listener */
      removeEventListener: (type, listener) => {
        this.listeners--
        target.removeEventListener(type, listener)
      },
    })
    this.document = { visibilityState: 'visible', ...listening(this.#document) }
    this.navigator = { onLine: true, locks: world.locks.of(this) }
    /** @type {any} */
    const page = this
    const sockets = this.#sockets
    /** @param {() => void} run */
    const turn = (run) => {
      if (page.isStopped) page.later.push(run)
      else run()
    }
    /** What it opens closes with it. */
    class WebSocket extends server.network.WebSocket {
      turn = turn

      /** @param {string} url @param {string[]} protocols */
      constructor(url, protocols) {
        super(url, protocols)
        sockets.add(this)
      }
    }
    /** @param {string} url @param {any} init */
    const fetch = async (url, init) => {
      if (!init.headers?.authorization) throw new TypeError('nothing but event streams is served here')
      const stream = new FakeStream(server.network, url, init)
      stream.turn = turn
      sockets.add(stream)
      return stream.response
    }
    /** Timers that are set; one that is due while the page is stopped can still be cleared. @type {Set<number>} */
    const timers = new Set()
    /** @param {() => void} run @param {number} ms */
    const setTimeout = (run, ms) => {
      const due = () => {
        if (page.isStopped) page.later.push(due)
        else if (timers.delete(timer)) run()
      }
      const timer = clock.setTimeout(due, ms)
      timers.add(timer)
      return timer
    }
    /** @param {number} timer */
    const clearTimeout = (timer) => {
      timers.delete(timer)
      clock.clearTimeout(timer)
    }
    /** @type {import('../types.js').Scope & { fetch: any }} */
    this.scope = {
      Date: clock, Math: { random: world.random }, setTimeout, clearTimeout,
      WebSocket, fetch, location: { href: 'https://app.example/inbox' },
      document: this.document, navigator: this.navigator,
      BroadcastChannel: world.channels.of(this, clock), localStorage: world.localStorage, sessionStorage, ...listening(this.#window),
    }
  }

  hide() {
    this.document.visibilityState = 'hidden'
    this.#document.dispatchEvent(new Event('visibilitychange'))
  }

  show() {
    this.document.visibilityState = 'visible'
    this.#document.dispatchEvent(new Event('visibilitychange'))
  }

  /** The browser says that the network is gone. */
  offline() {
    this.navigator.onLine = false
    this.#window.dispatchEvent(new Event('offline'))
  }

  online() {
    this.navigator.onLine = true
    this.#window.dispatchEvent(new Event('online'))
  }

  /** It is killed, without another word. */
  crash() {
    this.isStopped = true
    this.#world.locks.release(this)
    this.#world.channels.release(this)
    for (const socket of this.#sockets) socket.close()
  }

  /** The system stops it, with whatever it holds. */
  stop() {
    this.isStopped = true
  }

  /** The system lets it go on. */
  goOn() {
    this.isStopped = false
    this.later.splice(0).forEach((run) => run())
  }

  /** It goes, for good or into the cache of pages. */
  leave() {
    this.#window.dispatchEvent(new Event('pagehide'))
  }

  /** It comes out of the cache of pages. */
  comeBack() {
    this.#window.dispatchEvent(new Event('pageshow'))
  }

  /** The browser stops it, and may discard it. */
  freeze() {
    this.#document.dispatchEvent(new Event('freeze'))
  }

  resume() {
    this.#document.dispatchEvent(new Event('resume'))
  }
}

export class World {
  clock = new VirtualClock()
  locks = new FakeLocks()
  channels = new FakeChannels()
  server = new FakeServer(this.clock)
  network = this.server.network
  localStorage = new FakeStorage()
  #seed

  /** @param {number} [seed] Of what is random. */
  constructor(seed = 1) {
    this.#seed = seed
    /** From 0 to 1, the same in every run. */
    this.random = () => {
      // Numerical Recipes' linear congruential generator: good enough, and one line.
      this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) >>> 0
      return this.#seed / 2 ** 32
    }
  }

  /** A tab; one that was duplicated, or reloaded, has a storage already. @param {FakeStorage} [storage] */
  page(storage = new FakeStorage()) {
    return new FakePage(this, storage)
  }

  /** @param {number} [ms] */
  advance(ms) {
    return this.clock.advance(ms)
  }

  /**
   * A token that the fake server takes, for a day: longer than what most tests let pass.
   * @param {string} [user]
   * @param {number} [lifetime] In milliseconds.
   */
  token(user = 'alice', lifetime = 86_400_000) {
    const claims = JSON.stringify({ sub: user, exp: Math.ceil((this.clock.now() + lifetime) / 1000) })
    const text = (/** @type {string} */ it) => btoa(it).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '')
    return `${text('{"alg":"none"}')}.${text(claims)}.${Math.floor(this.random() * 1e9)}`
  }
}
