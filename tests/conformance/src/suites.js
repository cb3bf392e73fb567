// All cases, of servers and of clients.
import clientCases from '../client/cases.js'
import closing from '../server/closing.js'
import frames from '../server/frames.js'
import handshake from '../server/handshake.js'
import resuming from '../server/resuming.js'
import simple from '../server/simple.js'
import streams from '../server/streams.js'
import tokens from '../server/tokens.js'
import { ClientStage } from './client.js'
import { run } from './run.js'
import { Stage } from './stage.js'

export { clientCases }
export const serverCases = [...handshake, ...frames, ...resuming, ...closing, ...tokens, ...simple, ...streams]

export const testServer = (server, how) => run(serverCases, () => new Stage(server), how)
export const testClient = (command, how) => run(clientCases, () => ClientStage.start(command), how)
