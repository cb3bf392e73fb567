/**
 * An event stream in the shape of a WebSocket, so that a client needs to know of no other. What a socket's client says in
 * frames a stream's says in its next request, and gets the answer that it would have had.
 */
import { logOf, subject } from '../protocol.js'
import { quietly } from '../quietly.js'
import { createTimer } from '../timer.js'
import { createPositions, keyOf, without } from './positions.js'
import { request } from './request.js'

/** Channels that are joined one after the other are asked for together. */
const GATHER_MS = 100
/** Between two looks at whether what a full stream brought is handled. */
const TICK_MS = 100
/** Looks after which some of it being handled is enough. */
const SOME = 50
/** Looks after which none of it needs to be. */
const STUCK = 300
/** Longer than this no server's word keeps a client waiting. */
const LONGEST_WAIT = 10_000

/**
 * What is known over all streams of a client.
 * @typedef {object} Memory
 * @property {string} [user] Whose positions these are.
 * @property {string} [id] Where the reader is.
 * @property {Set<string>} channels That are wanted.
 * @property {Map<string, string>} from Positions on channels that the id may not have yet.
 * @property {Set<string>} left Channels whose positions in the id are of before they were left.
 * @property {number} notBefore When the server wants to hear of the client again.
 */

/** @param {string} [user] @returns {Memory} */
export const nothingKnown = (user) => ({ user, id: undefined, channels: new Set(), from: new Map(), left: new Set(), notBefore: 0 })

/**
 * Notes that a channel is not wanted any more.
 * @param {Memory} memory
 */
export const leaver = (memory) => (/** @type {string} */ channel) => {
  memory.channels.delete(channel)
  memory.from.delete(channel)
  // Without an id there are no positions. (Where sockets work, there is never one.)
  if (memory.id) memory.left.add(channel)
}

/** @typedef {import('./request.js').Request & { joined: Set<string>, left: Set<string>, answers: Map<string, any> }} Stream */

/**
 * @param {any} scope
 * @param {Memory} memory
 * @param {URL} url With everything that does not change from stream to stream.
 * @param {string} token
 */
export function openSocket(scope, memory, url, token) {
  const timer = createTimer(scope)
  const now = () => scope.Date.now()
  let positions = createPositions()
  /** The stream that is read. @type {Stream | undefined} */
  let current
  /** The one that is to follow. @type {Stream | undefined} */
  let next
  /** Where the current one began. @type {string | undefined} */
  let start
  let pingInterval = 25_000
  let heardAt = now()
  /** A ping that waits for a sign of life. @type {any} */
  let ping
  /** Channels that wait for an answer, with their requests' `ref`. @type {Map<string, any>} */
  const asked = new Map()
  /** The token that is being replaced. @type {{ token: string, ref: any } | undefined} */
  let renewing
  let hasCaughtUp = false
  /** Looks since a full stream ended; 0 while none waits. */
  let looks = 0
  /** As the server told last, in milliseconds. */
  let retry = 0

  if (subject(token) !== memory.user) Object.assign(memory, nothingKnown(subject(token)))

  /** @param {object} frame */
  const say = (frame) => socket.onmessage?.({ data: JSON.stringify(frame) })

  /** An answer of our own comes after the question, as any. @param {object} frame */
  const reply = (frame) => queueMicrotask(() => say(frame))

  const open = () => {
    timer()
    looks = 0
    next?.end()
    const to = new URL(url)
    for (const channel of memory.channels) to.searchParams.append('channel', channel)
    const joined = new Set(memory.channels)
    const id = memory.id && without(memory.id, [...memory.left])
    const beside = [...memory.from].map(([channel, cursor]) => [keyOf(channel), cursor])
    // Only an id of the server's can be added to: it has the inbox and the broadcasts.
    const lastId = id && [id, ...beside.filter(([key]) => !id.includes(`.${key}:`)).map((it) => it.join(':'))].join('.')
    /** @type {Stream} */
    const stream = {
      joined, left: new Set(), answers: new Map(),
      ...request(scope, to, token, lastId, heard, (event) => onEvent(stream, event), (code, reason) => onEnd(stream, code, reason)),
    }
    next = stream
  }

  const heard = () => {
    heardAt = now()
    if (ping) reply({ type: 'pong', ref: ping.ref })
    ping = undefined
  }

  /**
   * @param {Stream} stream
   * @param {import('./parser.js').StreamEvent} event
   */
  const onEvent = (stream, { data, id }) => {
    /** @type {any} */
    const frame = quietly(() => JSON.parse(data))
    if (!frame?.type) return
    const type = frame.id ? '' : frame.type
    if (type === 'disconnect') {
      retry = frame.retry_ms
      return stream.ended(frame.code, frame.reason)
    }
    const begins = type === 'welcome' && stream === next
    if (begins) adopt(stream, frame)
    if (stream !== current) return
    const isLeft = !type && frame.target_user == null && stream.left.has(frame.channel)
    if (id) memory.id = positions.came(id, logOf(frame), type || isLeft ? undefined : frame.cursor) ?? memory.id
    if (begins) start = memory.id
    if (isLeft || act[type]?.(frame, stream)) return
    socket.onmessage?.({ data })
  }

  /**
   * It takes the place of the one before, and its positions are the ones that count.
   * @param {Stream} stream
   * @param {any} frame
   */
  const adopt = (stream, frame) => {
    current?.end()
    current = stream
    next = undefined
    for (const channel of stream.joined) if (!memory.channels.has(channel)) leftOn(stream, channel)
    // Its ids have what it was asked for, and no more.
    memory.left = new Set(stream.left)
    positions = createPositions()
    pingInterval = frame.ping_interval_ms
  }

  /**
   * What comes of the channel on this stream is nobody's.
   * @param {Stream} stream
   * @param {string} channel
   */
  const leftOn = (stream, channel) => {
    stream.joined.delete(channel)
    stream.answers.delete(channel)
    stream.left.add(channel)
  }

  /** What control frames do; true: nobody else is to see them. @type {Record<string, (frame: any, stream: Stream) => unknown>} */
  const act = {
    welcome({ token_expires_at: end }) {
      if (renewing) reply({ type: 'authenticated', expires_at: end, ref: renewing.ref })
      renewing = undefined
      if (socket.readyState) return true
      socket.readyState = 1
      socket.onopen?.({})
      return false
    },

    replayed() {
      const isKnown = hasCaughtUp
      hasCaughtUp = true
      return isKnown
    },

    subscribed(frame, { answers, left }) {
      const { channel, cursor } = frame
      if (left.has(channel)) return true
      answers.set(channel, frame)
      if (!memory.from.has(channel)) memory.from.set(channel, cursor)
      answer(frame)
      return true
    },

    gap({ channel, resume }) {
      if (memory.from.has(channel)) memory.from.set(channel, resume)
    },

    unsubscribed({ channel }) {
      forget(channel)
    },

    error(frame) {
      const { channel, code } = frame
      if (!channel) return false
      forget(channel)
      // One that was joined before and is not allowed any more: a socket's client hears it so.
      if (!answer(frame)) say({ type: 'unsubscribed', channel, code })
      return true
    },
  }

  /** Whether somebody had asked. @param {any} frame */
  const answer = (frame) => {
    const ref = asked.get(frame.channel)
    const isAsked = asked.delete(frame.channel)
    if (isAsked) say({ ...frame, ref })
    return isAsked
  }

  const forget = leaver(memory)

  /**
   * @param {Stream} stream
   * @param {number} code
   * @param {string} reason
   */
  const onEnd = (stream, code, reason) => {
    if (stream === next) {
      next = undefined
      return current ? refuse(code, reason) : closed(code, reason)
    }
    if (stream !== current) return
    current = undefined
    // The next one may be on its way already, and have taken the session over.
    if (next) return
    if (code !== 4204) return closed(code, reason)
    looks = 1
    look(retry)
  }

  /**
   * A stream is full, and its client comes back when what it brought is handled: coming back is the ack.
   * @param {number} ms
   */
  const look = (ms) => timer(ms, () => {
    looks++
    const isSome = looks > SOME && memory.id !== start
    if (positions.isSettled() || isSome) return open()
    if (looks <= STUCK) return look(TICK_MS)
    // With nothing after it, there would be nothing new ever again.
    memory.id = positions.newest()
    say({ type: 'error', code: 'not_handled', retryable: false,
      message: 'a stream goes on only from what is acked: notifications that no handler took, or has finished with, for half a minute are acked now' })
    open()
  })

  /**
   * Another stream was to take the place of this one, for a token or a channel, and does not.
   * @param {number} code
   * @param {string} reason
   */
  const refuse = (code, reason) => {
    const retryable = code !== 4001
    const error = { type: 'error', code: retryable ? 'unavailable' : 'token_refused', message: `no other stream: ${code} ${reason}`, retryable }
    if (renewing) {
      token = renewing.token
      say({ ...error, ref: renewing.ref })
      renewing = undefined
    }
    for (const channel of [...asked.keys()]) {
      if (current?.joined.has(channel)) continue
      forget(channel)
      answer({ ...error, channel })
    }
  }

  const close = () => {
    timer()
    current?.end()
    next?.end()
    socket.readyState = 3
  }

  /** @param {number} code @param {string} reason */
  const closed = (code, reason) => {
    close()
    if (code >= 4100 && code < 4200) memory.notBefore = now() + retry
    socket.onclose?.({ code, reason })
  }

  /** What a client says. @type {Record<string, (frame: any) => void>} */
  const on = {
    ack({ cursor }) {
      memory.id = positions.acked(cursor) ?? memory.id
    },

    /** A stream cannot be asked. It was heard of, or will be. (A clock may have gone back.) */
    ping({ ref }) {
      if (Math.abs(now() - heardAt) < 2 * pingInterval) reply({ type: 'pong', ref })
      else ping = { ref }
    },

    subscribe({ channel, ref, since }) {
      asked.set(channel, ref)
      memory.channels.add(channel)
      if (since) memory.from.set(channel, since)
      const known = current?.answers.get(channel)
      if (known) queueMicrotask(() => answer(known))
      else if (!(next ?? current)?.joined.has(channel) && !looks) timer(GATHER_MS, open)
    },

    /** Told in the next request. Until then what comes of it is nobody's. */
    unsubscribe({ channel, ref }) {
      forget(channel)
      asked.delete(channel)
      for (const stream of [current, next]) if (stream) leftOn(stream, channel)
      reply({ type: 'unsubscribed', channel, ref })
    },

    auth({ token: other, ref }) {
      if (subject(other) !== memory.user) {
        return reply({ type: 'error', code: 'user_mismatch', message: 'the token is of another user', retryable: false, ref })
      }
      renewing = { token: renewing?.token ?? token, ref }
      token = other
      open()
    },
  }

  const socket = {
    readyState: 0,
    /** @type {any} */ onopen: null,
    /** @type {any} */ onmessage: null,
    /** @type {any} */ onclose: null,
    /** @type {any} */ onerror: null,
    close,

    /** @param {string} text */
    send(text) {
      const frame = JSON.parse(text)
      if (on[frame.type]) on[frame.type](frame)
      else reply({ type: 'error', code: 'unknown_type', message: `an event stream takes no ${frame.type}`, retryable: false, ref: frame.ref })
    },
  }

  const wait = Math.min(memory.notBefore - now(), LONGEST_WAIT)
  if (wait > 0) timer(wait, open)
  else open()
  return socket
}
