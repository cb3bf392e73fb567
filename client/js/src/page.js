/** What happens around a connection: the network, the page, what it keeps. Each part may be missing. */
import { quietly } from './quietly.js'

/** @typedef {import('./types.js').Scope} Scope */

/**
 * Listens until what it gives is called.
 * @param {Scope} scope
 * @param {() => void} awake The network or a reader is back.
 * @param {() => void} offline The network is gone, says the browser; it may be wrong.
 * @param {() => void} leave The page goes, perhaps into the cache of pages, which takes none with an open socket.
 * @param {() => void} freeze It may be discarded without another word.
 * @returns {() => void}
 */
export function watchPage(scope, awake, offline, leave, freeze) {
  const { document } = scope
  const shown = () => document.visibilityState === 'visible' && awake()
  const events = [
    [scope, 'online', awake], [scope, 'offline', offline], [scope, 'pagehide', leave], [scope, 'pageshow', awake],
    [document, 'visibilitychange', shown], [document, 'freeze', freeze], [document, 'resume', awake],
  ]
  /** @param {'add' | 'remove'} what */
  const each = (what) => events.forEach(([target, type, listener]) => target?.[`${what}EventListener`]?.(type, listener))
  each('add')
  return () => each('remove')
}

/**
 * A name that no other tab or device of the user has. Not `crypto.randomUUID`: pages without TLS have none.
 * @param {Scope} scope
 */
export function newName(scope) {
  return scope.Math.random().toString(36).slice(2)
}

/**
 * This browser's lasting name; none where nothing can be kept.
 * @param {Scope} scope
 * @returns {string | undefined}
 */
export function keptDevice(scope) {
  return quietly(() => scope.localStorage['carillon.device'] ??= newName(scope))
}

/**
 * Where a tab keeps its position while it reloads. It is taken when a page begins and put back when it goes:
 * a tab that is duplicated meanwhile finds nothing, and is a tab of its own.
 * @param {() => any} storage May throw, where it is forbidden.
 * @param {string} key
 */
export function createTabMemory(storage, key) {
  return {
    /** @returns {any} */
    take: () => quietly(() => {
      const kept = storage().getItem(key)
      storage().removeItem(key)
      return JSON.parse(kept)
    }),

    /**
     * Where it is full, or forbidden, the device's position at the server serves as well.
     * @param {unknown} value
     */
    put: (value) => quietly(() => storage().setItem(key, JSON.stringify(value))),
  }
}
