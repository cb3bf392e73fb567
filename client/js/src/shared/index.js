/** carillon-client/shared: the same client, with one socket for all tabs of a browser. */
import { CarillonError } from 'carillon-client'
import { createChannels } from '../channels.js'
import { createDelivery } from '../delivery.js'
import { createLedger } from '../ledger.js'
import { readOptions } from '../options.js'
import { watchPage } from '../page.js'
import { logOf, subject } from '../protocol.js'
import { createLeading } from './leading.js'
import { joinTabs } from './tabs.js'

/** Before a request whose refusal may be over is made again. */
const AGAIN_MS = 2000

/** @typedef {import('../types.js').Notification} Notification */

/**
 * What a `NotificationClient` is, for pages that are open in several tabs: the tabs share a socket, each is
 * given every notification, and when the tab with the socket closes another goes on.
 * @template {object} [Events=Record<string, unknown>]
 */
export class SharedClient {
  #options
  #scope
  /** @type {any} */
  #delivery
  /** What this tab was given. */
  #ledger = createLedger()
  /** Ids that were given to handlers and are not handled. @type {Set<string>} */
  #open = new Set()
  #channels
  /** @type {ReturnType<typeof joinTabs> | undefined} */
  #tabs
  /** In the tab that leads. @type {ReturnType<typeof createLeading> | undefined} */
  #leading
  /** @type {(() => void) | undefined} */
  #unwatch
  #isWanted = false
  #received = 0
  #duplicates = 0
  /** @type {import('../types.js').State} */
  #state = 'idle'

  /**
   * As of a `NotificationClient`.
   * @param {string | import('../types.js').Options} first
   * @param {string} [second]
   * @param {import('../types.js').Options} [third]
   */
  constructor(first, second, third) {
    const options = this.#options = readOptions(first, second, third)
    const scope = this.#scope = options.scope ?? globalThis
    this.#delivery = createDelivery((notification) => options.ack !== 'manual' && this.ack(notification))
    this.#channels = createChannels(
      (frame) => this.#ask({ kind: 'request', frame }),
      this.#ledger,
      (run) => scope.setTimeout(run, AGAIN_MS),
    )
    /** @type {import('../types.js').Attach<Events>} */
    this.on = this.#delivery.on
    /** @type {(type: import('../types.js').Name<Events>, handler: (value: any) => unknown) => void} */
    this.off = this.#delivery.off
    /** @type {(channel: string, wish?: { durable?: boolean, since?: string }) =>
     *   Promise<import('../types.js').Known['subscribed']>} */
    this.subscribe = this.#channels.subscribe
    /** @type {(channel: string) => void} */
    this.unsubscribe = this.#channels.unsubscribe
    this.connect = this.connect.bind(this)
    this.disconnect = this.disconnect.bind(this)
  }

  /** Of the socket that the tabs share. */
  get state() {
    return this.#state
  }

  /** Of this tab. @returns {import('../types.js').Stats} */
  get stats() {
    return { received: this.#received, duplicates: this.#duplicates, ...this.#delivery.counts() }
  }

  /** Whether this tab holds the socket. */
  get isLeader() {
    return this.#leading !== undefined
  }

  connect() {
    if (this.#isWanted) return
    this.#isWanted = true
    this.#unwatch = watchPage(this.#scope, () => this.#awake(), () => {}, () => this.#leave(), () => {})
    this.#become({ state: 'connecting', attempt: 0, willRetry: true })
    this.#join()
  }

  disconnect() {
    if (!this.#isWanted) return
    this.#isWanted = false
    this.#unwatch?.()
    this.#leave()
    this.#become({ state: 'closed', attempt: 0, willRetry: false })
  }

  /**
   * @param {import('../types.js').Name<Events>} type
   * @param {(value: any) => unknown} handler
   */
  once(type, handler) {
    const off = this.on(type, (value) => {
      off()
      return handler(value)
    })
    return off
  }

  /**
   * It is handled here, which does for all tabs.
   * @param {Pick<Notification, 'id' | 'target_user' | 'channel'>} notification
   */
  ack({ id, target_user, channel }) {
    this.#open.delete(id)
    this.#ledger.handled(logOf({ target_user, channel }), id)
    this.#ask({ kind: 'took', notification: { id, target_user, channel } })
  }

  /** @param {import('../types.js').Frame} frame */
  send(frame) {
    this.#ask({ kind: 'request', frame })
    return this.#state === 'connected'
  }

  /** @param {string} token */
  setToken(token) {
    this.#options.token = token
    this.#ask({ kind: 'token', token })
  }

  async #join() {
    const options = this.#options
    try {
      options.token ??= await options.getToken?.({ reason: 'connect' })
    } catch {
      // The client that leads asks again, with pauses, and tells.
    }
    if (!this.#isWanted || this.#tabs) return
    const name = `carillon ${options.url ?? ''} ${subject(options.token ?? '') ?? ''}`
    /** @type {any[]} */
    const early = []
    const lead = () => {
      // Where there is no other tab, this comes before the tabs are known.
      if (this.#tabs) this.#lead()
      else early.push(0)
    }
    this.#tabs = joinTabs(this.#scope, name, lead, () => this.#follow(), (message) => this.#hearOther(message))
    if (early.length) this.#lead()
    else this.#tabs.ask()
  }

  #lead() {
    const tabs = /** @type {ReturnType<typeof joinTabs>} */ (this.#tabs)
    /** @param {any} message */
    const tell = (message) => {
      if (message.to !== tabs.me) tabs.tell(message)
      if (!message.to || message.to === tabs.me) this.#hear(message)
    }
    this.#leading = createLeading(this.#options, tabs.me, tell, tabs.whenGone)
    this.#leading.on({ kind: 'hello', tab: tabs.me })
  }

  #follow() {
    this.#leading?.stop()
    this.#leading = undefined
  }

  /** The page goes, and may come back out of the cache of pages. */
  #leave() {
    this.#tabs?.leave()
    this.#follow()
    this.#tabs = undefined
  }

  #awake() {
    if (this.#tabs) this.#tabs.ask()
    else this.#join()
  }

  /**
   * To the tab that leads.
   * @param {any} message
   */
  #ask(message) {
    const all = { ...message, tab: this.#tabs?.me }
    if (this.#leading) this.#leading.on(all)
    else this.#tabs?.tell(all)
  }

  /**
   * Of another tab. One that was stopped, and does not know yet that it leads no more, is contradicted.
   * @param {any} message
   */
  #hearOther(message) {
    if (this.#leading && /state|here/.test(message.kind)) this.#leading.on({ kind: 'hello' })
    else this.#hear(message)
  }

  /**
   * Of the tab that leads; and what tabs ask it.
   * @param {any} message
   */
  #hear(message) {
    const { kind, frame, event } = message
    if (kind === 'frame') this.#onFrame(frame)
    else if (kind === 'state') this.#become(event)
    else if (kind === 'drain') this.#delivery.emit('drain', frame)
    else if (kind === 'refused') this.#channels.onError(frame.ref, new CarillonError(frame.code, frame.message, frame))
    else if (kind === 'here') this.#onLeader(message)
    else this.#leading?.on(message)
  }

  /** @param {any} message */
  #onLeader({ state, unacked, to }) {
    if (state !== this.#state) this.#become({ state, attempt: 0, willRetry: true })
    unacked.forEach((/** @type {any} */ frame) => this.#onFrame(frame))
    // Another one leads, and knows of nothing that was joined.
    if (!to || this.#leading) this.#channels.begin()
  }

  /** @param {any} frame */
  #onFrame(frame) {
    if (frame.id) return this.#onNotification(frame)
    const { type, channel } = frame
    if (type === 'error') return this.#delivery.emit('error', new CarillonError(frame.code, frame.message, frame))
    if (type === 'subscribed') this.#channels.onSubscribed(frame)
    if (type === 'gap' && channel) this.#ledger.start(channel, frame.resume)
    if (type === 'unsubscribed' && frame.code) {
      this.#channels.end(channel, new CarillonError(frame.code, `left ${channel}`, { channel }))
    }
    this.#delivery.emit(type, frame)
    this.#delivery.emit('*', frame)
  }

  /** @param {Notification} notification */
  #onNotification(notification) {
    const { id, cursor } = notification
    this.#received++
    if (this.#ledger.arrive(logOf(notification), id, cursor)) {
      this.#open.add(id)
      this.#delivery.give(notification)
      return
    }
    this.#duplicates++
    // The tab that led before was not told, or could not say so.
    if (!this.#open.has(id)) this.ack(notification)
  }

  /** @param {any} event */
  #become(event) {
    const previous = this.#state
    this.#state = event.state
    this.#delivery.emit('state', { ...event, previous })
  }
}
