/**
 * carillon-client/sse: the same client over event streams, for networks that let no WebSocket through. Either of these is
 * given to a client as its `WebSocket`.
 */
import { createTabMemory } from '../page.js'
import { leaver, nothingKnown, openSocket } from './socket.js'

/** Sockets that come to nothing before a stream is tried. */
const TRIES = 2
/** A socket that is given up after so long came to nothing, too. */
const PATIENCE = 5_000

/**
 * @typedef {object} StreamOptions
 * @property {string} [url] The streams' address, where it is not the sockets' with `/sse/notifications` in the place of
 *   `/ws/notifications`.
 * @property {any} [WebSocket] For `socketOrStream`, where there is none of its own, such as Node below 22: the class of `ws`.
 * @property {import('../types.js').Scope & { fetch?: any }} [scope] The world, for tests.
 */

/** What takes the place of the class WebSocket. @typedef {new (url: string, protocols: string[]) => any} SocketClass */

/**
 * What all streams of a client have in common.
 * @param {StreamOptions} options
 */
function createStreams({ url, scope = globalThis }) {
  const memory = nothingKnown()
  return {
    /**
     * @param {string} address Of the socket that it stands for.
     * @param {string[]} protocols Of which one has the token.
     */
    open(address, protocols) {
      const at = new URL(address)
      const path = at.pathname.replace(/\/ws\/notifications$/, '/sse/notifications')
      if (!url && path === at.pathname) {
        throw new TypeError('eventStream({ url }): give the address of the streams, such as https://push.example/sse/notifications')
      }
      const to = new URL(url ?? path, at.origin.replace('ws', 'http'))
      at.searchParams.forEach((value, name) => to.searchParams.set(name, value))
      const bearer = protocols[1].slice('bearer.'.length)
      return openSocket(scope, memory, to, atob(bearer.replace(/-/g, '+').replace(/_/g, '/')))
    },

    /** A client leaves a channel, whether or not it is connected. */
    leave: leaver(memory),

    /** Something else knows better where the reader is. */
    forget: () => Object.assign(memory, nothingKnown(memory.user)),
  }
}

/**
 * Event streams alone: `new NotificationClient({ getToken, WebSocket: eventStream() })`. One for each client.
 * @param {StreamOptions} [options]
 * @returns {SocketClass}
 */
export function eventStream(options = {}) {
  const { open, leave } = createStreams(options)
  return /** @type {any} */ (Object.assign(function (/** @type {string} */ address, /** @type {string[]} */ protocols) {
    return open(address, protocols)
  }, { leave }))
}

/**
 * Sockets, and event streams where sockets come to nothing twice in a row: `new NotificationClient({ getToken, WebSocket:
 * socketOrStream() })`. When a stream breaks a socket is tried again, for the network may be another. One for each client.
 * @param {StreamOptions} [options]
 * @returns {SocketClass}
 */
export function socketOrStream(options = {}) {
  const { scope = globalThis, WebSocket } = options
  const streams = createStreams(options)
  const tab = createTabMemory(() => scope.sessionStorage, 'carillon.sse')
  /** Sockets in a row that came to nothing. */
  let failures = 0
  /** After how many a stream is tried. Unknown until the first connection. @type {number | undefined} */
  let tries

  /** @param {boolean} isStream Of the two, it works here. */
  const works = (isStream) => {
    tries = isStream ? 1 : TRIES
    if (isStream) return tab.put(true)
    failures = 0
    streams.forget()
    tab.take()
  }

  const open = function (/** @type {string} */ address, /** @type {string[]} */ protocols) {
    if (!tries) {
      tries = TRIES
      // Where streams worked for the page before, one is tried first.
      if (tab.take()) failures = TRIES
    }
    const isStream = failures >= tries
    const socket = isStream ? streams.open(address, protocols) : new (WebSocket ?? scope.WebSocket)(address, protocols)
    const began = scope.Date.now()
    let isGood = false
    let isOver = false

    /** @param {number} code */
    const over = (code) => {
      if (isOver) return
      isOver = true
      // What the server itself says is no matter of the network.
      if (code >= 4000) return
      if (isStream) failures = 0
      else if (!isGood) failures++
    }

    const outer = {
      get readyState() {
        return socket.readyState
      },
      /** @type {any} */ onopen: null,
      /** @type {any} */ onmessage: null,
      /** @type {any} */ onclose: null,
      /** @type {any} */ onerror: null,
      /** @param {string} text */
      send: (text) => socket.send(text),

      /** @param {number} [code] */
      close(code) {
        if (!isGood && scope.Date.now() - began > PATIENCE) over(1006)
        isOver = true
        socket.close(code)
      },
    }
    socket.onopen = (/** @type {any} */ event) => outer.onopen?.(event)
    socket.onerror = (/** @type {any} */ event) => outer.onerror?.(event)
    socket.onmessage = (/** @type {any} */ event) => {
      if (!isGood) works(isStream)
      isGood = true
      outer.onmessage?.(event)
    }
    socket.onclose = (/** @type {any} */ event) => {
      over(event.code)
      outer.onclose?.(event)
    }
    return outer
  }
  return /** @type {any} */ (Object.assign(open, { leave: streams.leave }))
}
