/** carillon-client/vue: composables, for `setup`. A page that is rendered by a server connects once it is in a browser. */
import { onMounted, onUnmounted, shallowRef } from 'vue'
import { notificationsOf, stateOf } from './store.js'

/** @param {() => () => void} begin Gives what ends it. */
function whileMounted(begin) {
  /** @type {() => void} */
  let end
  onMounted(() => { end = begin() })
  onUnmounted(() => end())
}

/**
 * @template T
 * @param {import('./store.js').Store<T>} store
 * @returns {Readonly<import('vue').Ref<T>>}
 */
function followed(store) {
  const value = shallowRef(store.get())
  whileMounted(() => store.subscribe(() => { value.value = store.get() }))
  return /** @type {any} */ (value)
}

/**
 * The newest notifications of a type, the oldest first. All components see the same; while none looks, they
 * wait in the client.
 * @template {object} [Events=Record<string, unknown>]
 * @template {'notification' | (keyof Events & string)} [Name='notification']
 * @param {import('./types.js').Followed<Events>} client
 * @param {Name} [type] `notification`: of any type.
 * @param {number} [limit] How many are kept.
 * @returns {Readonly<import('vue').Ref<import('./types.js').Given<Events, Name>[]>>}
 */
export function useNotifications(client, type, limit = 100) {
  return /** @type {any} */ (followed(notificationsOf(client, type ?? 'notification', limit)))
}

/**
 * `connected`, `waiting`, `offline`, …
 * @param {{ state: import('./types.js').State, on: any }} client
 * @returns {Readonly<import('vue').Ref<import('./types.js').State>>}
 */
export function useConnectionState(client) {
  return followed(stateOf(client))
}

/**
 * Connects until the component is gone.
 * @param {{ connect(): void, disconnect(): void }} client
 */
export function useConnection(client) {
  whileMounted(() => {
    client.connect()
    return client.disconnect
  })
}

/**
 * On the channel until the component is gone; as often as it is used, it is one subscription.
 * @param {{ subscribe(channel: string): Promise<unknown>, unsubscribe(channel: string): void }} client
 * @param {string} channel
 */
export function useChannel(client, channel) {
  whileMounted(() => {
    client.subscribe(channel)
    return () => client.unsubscribe(channel)
  })
}

/**
 * A notification centre: what `createInbox` of carillon-client/inbox made, and what is in it now.
 * @param {import('./inbox.js').Inbox} inbox
 * @returns {{ state: Readonly<import('vue').Ref<import('./inbox.js').InboxState>> } & Pick<import('./inbox.js').Inbox, 'markRead' | 'markAllRead' | 'more' | 'refresh'>}
 */
export function useInbox(inbox) {
  const { markRead, markAllRead, more, refresh } = inbox
  return { state: followed(inbox), markRead, markAllRead, more, refresh }
}
