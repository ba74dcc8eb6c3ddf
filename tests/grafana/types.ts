// What a dashboard's JSON must be, by Grafana's own published types. schema.mjs makes JSON schemas of these.
import type { Dashboard } from '@grafana/schema/dist/types/raw/dashboard/x/types.gen';
import type {
  Options as TimeSeries,
  FieldConfig as TimeSeriesField,
} from '@grafana/schema/dist/types/raw/composable/timeseries/panelcfg/x/types.gen';
import type { Options as Stat } from '@grafana/schema/dist/types/raw/composable/stat/panelcfg/x/types.gen';
import type {
  Options as Table,
  FieldConfig as TableField,
} from '@grafana/schema/dist/types/raw/composable/table/panelcfg/x/types.gen';

export interface Checked {
  dashboard: Dashboard;
  // By the panel's type: what its plugin reads as options, and as fieldConfig.defaults.custom.
  timeseries: { options: TimeSeries; custom: TimeSeriesField };
  stat: { options: Stat; custom: Record<string, never> };
  table: { options: Table; custom: TableField };
}
