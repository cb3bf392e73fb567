/** One WebSocket, from its handshake to its end. Whoever ends it hears nothing of it any more. */
import { createLiveness } from './liveness.js'
import { quietly } from './quietly.js'
import { createTimer } from './timer.js'

/** From the upgrade to the first frame. A token that is refused again is held back so long by the server. */
const WELCOME_WITHIN = 60_000

/** @typedef {ReturnType<typeof openLink>} Link */

/**
 * @param {import('./types.js').Scope} scope
 * @param {any} socket A WebSocket that is being opened.
 * @param {import('./types.js').Options['log']} log
 * @param {() => void} onOpen
 * @param {(frame: any) => void} onFrame
 * @param {(code: number, reason: string) => void} onEnd
 */
export function openLink(scope, socket, log, onOpen, onFrame, onEnd) {
  const timer = createTimer(scope)
  const now = () => scope.Date.now()
  /** @type {ReturnType<typeof createLiveness> | undefined} */
  let liveness

  /** @param {import('./types.js').Frame} frame */
  const send = (frame) => {
    if (socket.readyState !== 1) return false
    quietly(() => log?.('out', frame.token ? { ...frame, token: '…' } : frame))
    socket.send(JSON.stringify(frame))
    return true
  }

  /** Closes without waiting for the other side, which may be gone. */
  const end = () => {
    timer()
    socket.onmessage = socket.onclose = null
    if (socket.readyState < 2) socket.close(1000)
  }

  /** @param {number} code @param {string} reason */
  const ended = (code, reason) => {
    end()
    onEnd(code, reason)
  }

  const watch = () => liveness && timer(liveness.wait(now()), () => {
    const todo = liveness?.check(now())
    if (todo === 'dead') return ended(1006, 'timeout')
    if (todo) send({ type: 'ping' })
    watch()
  })

  socket.onopen = () => {
    onOpen()
    timer(WELCOME_WITHIN, () => ended(1006, 'timeout'))
  }
  socket.onmessage = (/** @type {any} */ event) => {
    if (liveness?.heard(now())) watch()
    const frame = quietly(() => JSON.parse(event.data))
    if (!frame?.type) return
    quietly(() => log?.('in', frame))
    onFrame(frame)
  }
  socket.onclose = (/** @type {any} */ event) => ended(event.code, event.reason)
  // The close that follows says more.
  socket.onerror = () => {}

  return {
    send,
    end,

    /**
     * From now on it is known to speak, and is asked now and then.
     * @param {number} every
     */
    live(every) {
      liveness = createLiveness(every, now())
      watch()
    },

    /** Asks at once: an answer is due within seconds. */
    probe() {
      liveness?.probe(now())
      send({ type: 'ping' })
      watch()
    },
  }
}
