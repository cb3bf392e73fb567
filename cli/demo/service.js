/**
 * What stands behind the page in production: your login, which signs tokens, and your service, which holds an API
 * key. Here this server plays both, for this page on this machine alone.
 */

/** @type {Promise<string> | undefined} */
let known

/** The service's API key. */
export function key() {
  known ??= fetch('/demo/key', { method: 'POST' }).then(read).then((answer) => answer.key)
  known.catch(() => { known = undefined })
  return known
}

/**
 * A token of whoever is signed in.
 * @param {string} user
 */
export async function token(user) {
  const path = `/demo/token/${user}`
  const answer = await fetch(path, {
    method: 'POST',
  })
  return (await read(answer)).token
}

/**
 * What was answered; a refusal is thrown, with what it says.
 * @param {Response} answer
 */
export async function read(answer) {
  const body = await answer.json()
  if (answer.ok) return body
  // another process has another key
  if (answer.status === 401) known = undefined
  throw new Error(`${body.code}: ${body.detail}`)
}

/**
 * The gateway that has a session's connection.
 * @param {string} session
 */
export async function gatewayOf(session) {
  return (await read(await fetch(`/demo/gateway/${session}`, { method: 'POST' }))).gateway
}
