// A client in a page, with what its handlers were given.
import { NotificationClient } from 'carillon-client'
import { World } from 'carillon-client/testing'

export { World }

/** A tab with a client whose handlers note what they are given. */
export function openTab(world, options = {}, page = world.page()) {
  const client = new NotificationClient({ url: 'wss://push.example', token: world.token(), scope: page.scope, ...options })
  const tab = { client, page, given: [], states: [], errors: [], gaps: [] }
  client.on('state', (event) => tab.states.push(event))
  client.on('error', (error) => tab.errors.push(error))
  client.on('gap', (gap) => tab.gaps.push(gap))
  return tab
}

/** The same, with a handler, connected. */
export async function connectTab(world, options, page) {
  const tab = openTab(world, options, page)
  tab.client.on('notification', ({ id }) => { tab.given.push(id) })
  tab.client.connect()
  await world.advance(100)
  return tab
}

/** `n` notifications to a user; their ids. */
export function sendMany(world, n, user = 'alice') {
  return Array.from({ length: n }, () => world.server.send(user, { type: 'test' }))
}
