import { Alert, Box, Paper, Stack, Text, Title } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { queries } from '../services/queries'
import { Evidence } from './Evidence'
import { RelativeTime } from './RelativeTime'
import { Shown } from './States'

const COLOURS = { ok: 'green', attention: 'yellow', failing: 'red', gone: 'gray' } as const
const TONES = { critical: 'bad', warning: 'warn', info: 'calm' } as const

/** Why an agent does not do well: the probable cause first, each statement with its evidence. */
export function Diagnosis({ id }: { id: string }) {
  const query = useQuery(queries.diagnosis(id))
  return (
    <Shown query={query} what="It cannot be diagnosed now">
      {(diagnosis) => (
        <Stack gap="sm">
          <Alert color={COLOURS[diagnosis.state]} title={diagnosis.summary} />
          {diagnosis.findings.map((finding) => (
            <Paper key={finding.statement} component="section" aria-label={finding.statement}>
              <Title order={2} size="h6">
                <span className="fg-pill" data-tone={TONES[finding.severity]}>
                  {finding.is_probable_cause ? 'probable cause' : finding.severity}
                </span>{' '}
                {finding.statement}
              </Title>
              {(finding.component || finding.config_key) && (
                <Text size="xs" c="dimmed" className="fg-mono" mt={4}>
                  {[finding.component, finding.config_key].filter(Boolean).join(' · ')}
                </Text>
              )}
              <Text size="sm" mt={4}>
                {finding.what_to_do}
              </Text>
              <Box mt="xs">
                <Evidence items={finding.evidence} />
              </Box>
            </Paper>
          ))}
          {diagnosis.changes_before.length > 0 && (
            <Paper component="section" aria-label="What changed before">
              <Title order={2} size="h6" mb={4}>
                What changed before
              </Title>
              {diagnosis.changes_before.map((change) => (
                <Text size="sm" key={`${change.timestamp}${change.text}`}>
                  <RelativeTime at={change.timestamp} />: {change.text}
                </Text>
              ))}
            </Paper>
          )}
        </Stack>
      )}
    </Shown>
  )
}
