/** What the buttons do. The page shows these functions as they stand here, so what it shows is what runs. */
import { NotificationClient } from 'carillon-client'
import { key, read, token } from './service.js'

export function connect(user, on) {
  const client = new NotificationClient({
    // yours: wss://push.example.com
    url: `/demo/wire/${user}`,
    // again before it ends, too
    getToken: () => token(user),
    log: on.frame,
  })
  // each once, in order
  client.on('notification', on.notification)
  client.on('state', on.state)
  client.on('welcome', on.welcome)
  client.on('gap', on.gap)
  client.on('error', on.error)
  client.connect()
  return client
}

export async function send(from, to, content) {
  const path = '/api/notifications/send'
  const answer = await fetch(path, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${await key()}`,
      'Content-Type': 'application/json',
      // so a retry is not sent twice
      'Idempotency-Key': crypto.randomUUID(),
    },
    body: JSON.stringify({
      target_user: to,
      notification_type: 'chat.message',
      content,
      data: { from },
    }),
  })
  return read(answer)
}

export async function broadcast(content, channel) {
  const path = '/api/notifications/broadcast'
  const answer = await fetch(path, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${await key()}`,
      'Content-Type': 'application/json',
      'Idempotency-Key': crypto.randomUUID(),
    },
    body: JSON.stringify({
      notification_type: 'notice',
      content,
      channel, // without: to everyone
    }),
  })
  return read(answer)
}

export function join(client, channel) {
  return client.subscribe(channel)
}

export function leave(client, channel) {
  client.unsubscribe(channel)
}

export function goOffline(client) {
  client.disconnect()
}

export function comeBack(client) {
  client.connect()
}

export async function cut(session) {
  // No page can break its own network. So here
  // its socket goes over a wire of the server's.
  const path = `/demo/cut/${session}`
  const answer = await fetch(path, {
    method: 'POST',
  })
  return read(answer)
}

export async function gateways() {
  const answer = await fetch('/api/gateways', {
    headers: {
      Authorization: `Bearer ${await key()}`,
    },
  })
  return (await read(answer)).gateways
}

export async function drain(gateway) {
  const path = `/api/gateways/${gateway}/drain`
  const answer = await fetch(path, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${await key()}`,
    },
  })
  return read(answer)
}
