/** A number of agents in words. */
export const agents = (number: number) => `${number.toLocaleString()} ${number === 1 ? 'agent' : 'agents'}`
