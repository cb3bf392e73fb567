/** carillon-client: see README.md. */
export { NotificationClient } from './client.js'
export { CarillonError, UnauthorizedError } from './errors.js'
