/** Sockets between a client and the fake server, and what can happen to them. */

/** @typedef {{ open: (socket: FakeSocket) => void, text: (socket: FakeSocket, text: string) => void,
 *   closed: (socket: FakeSocket) => void }} Listener */

/** A browser's WebSocket, as far as a client uses it. */
export class FakeSocket {
  readyState = 0
  /** Of events, which only the server writes to. */
  isStream = false
  protocol = 'carillon.v1'
  /** @type {any} */
  onopen = null
  /** @type {any} */
  onmessage = null
  /** @type {any} */
  onclose = null
  /** @type {any} */
  onerror = null
  /** When the last that was sent each way arrives. */
  arrives = { up: 0, down: 0 }

  /**
   * @param {Network} network
   * @param {string} url
   * @param {string[]} protocols
   */
  constructor(network, url, protocols) {
    this.network = network
    this.url = url
    this.protocols = protocols
    network.connect(this)
  }

  /** @param {string} text */
  send(text) {
    if (this.readyState === 0) throw new Error('the socket is not open yet')
    if (this.readyState === 1) this.network.carry(this, 'up', () => this.network.listener.text(this, text))
  }

  /** @param {number} [code] */
  close(code = 1005) {
    if (this.readyState > 1) return
    this.readyState = 2
    this.network.carry(this, 'up', () => this.network.listener.closed(this))
    this.network.carry(this, 'up', () => this.ended(code, ''))
  }

  /** The server's side: a text arrives. @param {string} text @param {string} [id] Of an event stream's event. */
  deliver(text, id) {
    this.network.carry(this, 'down', () => this.turn(() => this.readyState === 1 && this.onmessage?.({ data: text })))
  }

  /** The server's side: a close frame. @param {number} code @param {string} reason */
  closeFrom(code, reason) {
    this.network.carry(this, 'down', () => this.ended(code, reason))
  }

  /** It is over, for whatever reason. @param {number} code @param {string} reason */
  ended(code, reason) {
    if (this.readyState === 3) return
    this.readyState = 3
    this.network.sockets.delete(this)
    this.turn(() => this.onclose?.({ code, reason, wasClean: code !== 1006 }))
  }

  /** The page's turn to act; one that is stopped acts later. @param {() => void} run */
  turn(run) {
    run()
  }
}

export class Network {
  /** Whether anything can be opened. */
  isUp = true
  /** Whether WebSockets can be opened; event streams are plain HTTP. */
  takesSockets = true
  #isFrozen = false
  /** What waits for the thaw. @type {(() => void)[]} */
  #held = []
  /** Milliseconds, each way. */
  latency = 5
  /** @type {Set<FakeSocket>} */
  sockets = new Set()
  /** Handshakes that were begun. */
  handshakes = 0
  #clock

  /**
   * @param {import('./clock.js').VirtualClock} clock
   * @param {Listener} listener
   */
  constructor(clock, listener) {
    this.#clock = clock
    this.listener = listener
    const network = this
    /** What a client opens. @type {any} */
    this.WebSocket = class extends FakeSocket {
      /** @param {string} url @param {string[]} protocols */
      constructor(url, protocols) {
        super(network, url, protocols)
      }
    }
  }

  /** Whether nothing passes, without a word to either side. What was sent meanwhile arrives after that. */
  get isFrozen() {
    return this.#isFrozen
  }

  set isFrozen(isFrozen) {
    this.#isFrozen = isFrozen
    if (!isFrozen) this.#held.splice(0).forEach((run) => run())
  }

  /** @param {FakeSocket} socket */
  connect(socket) {
    this.handshakes++
    this.sockets.add(socket)
    this.carry(socket, 'up', () => {
      if (!this.isUp || !(this.takesSockets || socket.isStream)) return this.#fail(socket)
      this.carry(socket, 'down', () => {
        if (socket.readyState !== 0) return
        socket.readyState = 1
        socket.turn(() => socket.onopen?.({}))
        this.listener.open(socket)
      })
    })
  }

  /**
   * After the latency, and in order: nothing overtakes what was sent before it.
   * @param {FakeSocket} socket
   * @param {'up' | 'down'} direction
   * @param {() => void} run
   */
  carry(socket, direction, run) {
    const now = this.#clock.passed
    const at = Math.max(now + this.latency, socket.arrives[direction])
    socket.arrives[direction] = at
    const arrive = () => {
      if (this.isFrozen) this.#held.push(arrive)
      else if (this.sockets.has(socket)) run()
    }
    this.#clock.setTimeout(arrive, at - now)
  }

  /** Every socket breaks, and both sides see it. */
  cut() {
    for (const socket of [...this.sockets]) {
      this.listener.closed(socket)
      this.#fail(socket)
    }
  }

  /** @param {FakeSocket} socket */
  #fail(socket) {
    socket.onerror?.({})
    socket.ended(1006, '')
  }
}
