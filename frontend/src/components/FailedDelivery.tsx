import { Stack, Text } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import type { Delivery, DiagnosisFinding } from '../services/api'
import { POLL_MILLISECONDS, queries } from '../services/queries'
import { Evidence } from './Evidence'
import { failingPlace, lineOfKey } from './places'

type Failed = Pick<Delivery, 'delivery_id' | 'error' | 'updated_at'>

const SOON_MILLISECONDS = 2000
const SOON_FOR_MILLISECONDS = 30_000 // the collector's logs come some seconds after the supervisor's verdict

const pathOf = (delivery: Failed) => `/api/v1/deliveries/${delivery.delivery_id}`

/** What the diagnosis has on a delivery that failed; undefined while there is none, or nothing is known of it. */
export function useCause(instanceId: string, delivery: Failed | null | undefined): DiagnosisFinding | undefined {
  const { data } = useQuery({
    ...queries.diagnosis(instanceId),
    enabled: Boolean(delivery),
    refetchInterval: () =>
      delivery && Date.now() - Date.parse(delivery.updated_at ?? '') < SOON_FOR_MILLISECONDS ? SOON_MILLISECONDS : POLL_MILLISECONDS,
  })
  return delivery ? data?.findings.find(({ evidence }) => evidence.some(({ link }) => link === pathOf(delivery))) : undefined
}

/** Where in its text the failure of a delivery is, and in whose words. */
export function placeOf(text: string, delivery: Failed, cause: DiagnosisFinding | undefined): { line: number; words: string } | null {
  const own = failingPlace(text, delivery.error ?? '')
  if (own || !cause?.config_key) return own
  const words = cause.evidence.at(-1)?.text ?? cause.statement
  const line = lineOfKey(text, cause.config_key, words)
  return line === null ? null : { line, words }
}

/** Why a delivery failed, in the words of the agent and of its collector, and what to do about it. */
export function FailedDelivery({ delivery, cause }: { delivery: Failed; cause: DiagnosisFinding | undefined }) {
  return (
    <Stack gap="xs">
      <pre className="fg-pre">{delivery.error ?? 'The agent gave no reason.'}</pre>
      {cause && (
        <>
          <Evidence items={cause.evidence.filter(({ link }) => link !== pathOf(delivery))} />
          <Text size="sm">{cause.what_to_do}</Text>
        </>
      )}
    </Stack>
  )
}
