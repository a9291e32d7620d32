/** What a sensor's number means: a measurement, a count or set point, a code, a bit set, or 0/1. */
type SensorKind = "float" | "integer" | "enum" | "flags" | "binary"

export interface Sensor {
  readonly name: string
  readonly unit: "°C" | "kW" | "kWh" | "%" | "EUR" | null
  readonly kind: SensorKind
  /** Hard physical bounds, inclusive, in `unit`. */
  readonly min: number
  readonly max: number
  /** Values that mean "no such probe"; accepted although they may lie outside the bounds. */
  readonly absent: ReadonlyArray<number>
  /** Names of codes (`enum`) or of bits (`flags`). */
  readonly members?: Readonly<Record<string, number>>
}

const noProbe = [-1]
const noRegister = [-1, 65535]

const systemModes = {
  OFF: 65535,
  STANDBY: 0,
  AUTOMATIC: 1,
  AWAY: 2,
  HOLIDAY: 3,
  HOT_WATER_ONLY: 4,
  HEATING_COOLING_ONLY: 5
}
const smartGridStates = {
  GRID_BLOCKED_SOLAR_OFF: 0,
  GRID_ALLOWED_SOLAR_OFF: 1,
  GRID_UNUSED_SOLAR_ON: 2,
  GRID_BLOCKED_SOLAR_ON: 4
}
const heatPumpBits = { OFF: 0, HEATING: 1, COOLING: 2, WATER: 4, DEFROSTING: 8 }
const heatingOrCooling = { HEATING: 0, COOLING: 1 }
const heatingOrHotWater = { HEATING: 0, HOT_WATER: 1 }
const storageOrSource = { STORAGE: 0, HEAT_SOURCE: 1 }
const sourceOrColdStorage = { HEAT_SOURCE: 0, COLD_STORAGE: 1 }
const storageOrBypass = { STORAGE: 0, BYPASS: 1 }
const solarModes = { AUTO: 0, WATER: 1, HEATING: 2, WATER_HEATING: 3, SOURCE_POOL: 4 }
const iscBits = { NONE: 0, HEATING: 1, WATER: 4, SOURCE: 8 }
const circuitModes = { OFF: 0, TIMED: 1, NORMAL: 2, ECO: 3, MANUAL_HEAT: 4, MANUAL_COOL: 5 }
const activeModes = { OFF: 0, HEATING: 1, COOLING: 2 }
const coolingOrHeating = { COOLING: 0, HEATING: 1 }
const roomModes = { OFF: 0, AUTOMATIC: 1, ECO: 2, NORMAL: 3, COMFORT: 4 }

type Row = readonly [
  name: string,
  unit: Sensor["unit"],
  kind: SensorKind,
  min: number,
  max: number,
  absent: ReadonlyArray<number>,
  members?: Sensor["members"]
]

/**
 * The sensors that existing loggers send, one row each: the product's only list of them.
 *
 * `{a..g}` and `{1..10}` stand for one row per letter or number. `min` and `max` are hard physical bounds, wide on
 * purpose: what lies outside cannot be a measurement (a byte-order fault turns 21.4 into 1e-40, code 1 into 256) and is
 * refused. `absent` are the values by which loggers say "no such probe": stored as sent, left out by training.
 *
 * Source: register map of the IDM Navigator 2.0 as its loggers implement it; bounds: data sheets, rounded outwards.
 */
const rows: ReadonlyArray<Row> = [
  ["power_solar_surplus", "kW", "float", -1000, 1000, noProbe],
  ["power_resistive_heater", "kW", "float", -1000, 1000, noProbe],
  ["power_solar_production", "kW", "float", -1000, 1000, noProbe],
  ["power_use_house", "kW", "float", -1000, 1000, noProbe],
  ["power_drain_battery", "kW", "float", -1000, 1000, noProbe],
  ["charge_state_battery", "%", "integer", -1, 110, noRegister],
  ["temp_outside", "°C", "float", -60, 200, noProbe],
  ["temp_outside_avg", "°C", "float", -60, 200, noProbe],
  ["failure_id", null, "integer", 0, 65535, noRegister],
  ["status_system", null, "enum", 0, 65535, noProbe, systemModes],
  ["status_smart_grid", null, "enum", 0, 255, noRegister, smartGridStates],
  ["temp_heat_storage", "°C", "float", -60, 200, noProbe],
  ["temp_cold_storage", "°C", "float", -60, 200, noProbe],
  ["temp_water_heater_bottom", "°C", "float", -60, 200, noProbe],
  ["temp_water_heater_top", "°C", "float", -60, 200, noProbe],
  ["temp_water_heater_tap", "°C", "float", -60, 200, noProbe],
  ["temp_water_target", "°C", "integer", -60, 200, noRegister],
  ["temp_water_switch_on", "°C", "integer", -60, 200, noRegister],
  ["temp_water_switch_off", "°C", "integer", -60, 200, noRegister],
  ["price_energy", "EUR", "float", -1000, 1000, noProbe],
  ["temp_heat_pump_flow", "°C", "float", -60, 200, noProbe],
  ["temp_heat_pump_return", "°C", "float", -60, 200, noProbe],
  ["temp_hgl_flow", "°C", "float", -60, 250, noProbe],
  ["temp_heat_source_input", "°C", "float", -60, 200, noProbe],
  ["temp_heat_source_output", "°C", "float", -60, 200, noProbe],
  ["temp_air_input", "°C", "float", -60, 200, noProbe],
  ["temp_air_heat_exchanger", "°C", "float", -60, 200, noProbe],
  ["temp_air_input_2", "°C", "float", -60, 200, noProbe],
  ["temp_charge_sensor", "°C", "float", -60, 200, noProbe],
  ["status_heat_pump", null, "flags", 0, 65535, noRegister, heatPumpBits],
  ["request_heating", null, "binary", 0, 1, noRegister],
  ["request_cooling", null, "binary", 0, 1, noRegister],
  ["request_water_status", null, "integer", 0, 255, noRegister],
  ["evu_lock_status", null, "integer", 0, 255, noRegister],
  ["failure_heat_pump", null, "binary", 0, 1, noRegister],
  ["state_compressor_1_uchar", null, "integer", 0, 255, noRegister],
  ["state_compressor_2_uchar", null, "integer", 0, 255, noRegister],
  ["state_compressor_3_uchar", null, "integer", 0, 255, noRegister],
  ["state_compressor_4_uchar", null, "integer", 0, 255, noRegister],
  ["state_charge_pump", "%", "integer", -1, 110, noRegister],
  ["state_brine_pump", "%", "integer", -1, 200, noRegister],
  ["state_ground_water_pump", "%", "integer", -1, 200, noRegister],
  ["load_isc_cold_storage_pump", "%", "integer", -1, 200, noRegister],
  ["load_isc_recooling_pump", "%", "integer", -1, 200, noRegister],
  ["valve_state_circuit_heating_cooling", null, "enum", 0, 255, noRegister, heatingOrCooling],
  ["valve_state_storage_heating_cooling", null, "enum", 0, 255, noRegister, heatingOrCooling],
  ["valve_state_main_heating_water", null, "enum", 0, 255, noRegister, heatingOrHotWater],
  ["valve_state_source_heating_cooling", null, "enum", 0, 255, noRegister, heatingOrCooling],
  ["valve_state_solar_heating_water", null, "enum", 0, 255, noRegister, heatingOrHotWater],
  ["valve_state_solar_storage_source", null, "enum", 0, 255, noRegister, storageOrSource],
  ["valve_state_isc_heating_cooling", null, "enum", 0, 255, noRegister, sourceOrColdStorage],
  ["valve_state_isc_bypass", null, "enum", 0, 255, noRegister, storageOrBypass],
  ["pump_circulation", null, "integer", -1, 32767, noRegister],
  ["temp_second_source_bivalence_1", "°C", "integer", -60, 200, noRegister],
  ["temp_second_source_bivalence_2", "°C", "integer", -60, 200, noRegister],
  ["temp_third_source_bivalence_1", "°C", "integer", -60, 200, noRegister],
  ["temp_third_source_bivalence_2", "°C", "integer", -60, 200, noRegister],
  ["status_bivalence", null, "integer", 0, 255, noRegister],
  ["cascade_available_stages_heating", null, "integer", 0, 255, noRegister],
  ["cascade_available_stages_cooling", null, "integer", 0, 255, noRegister],
  ["cascade_available_stages_water", null, "integer", 0, 255, noRegister],
  ["cascade_running_stages_heating", null, "integer", 0, 255, noRegister],
  ["cascade_running_stages_cooling", null, "integer", 0, 255, noRegister],
  ["cascade_running_stages_water", null, "integer", 0, 255, noRegister],
  ["cascade_request_heating_temp", "°C", "float", -60, 200, noProbe],
  ["cascade_request_cooling_temp", "°C", "float", -60, 200, noProbe],
  ["cascade_temp_request_water", "°C", "float", -60, 200, noProbe],
  ["cascade_temp_flow_avg_heating", "°C", "float", -60, 200, noProbe],
  ["cascade_temp_flow_avg_cooling", "°C", "float", -60, 200, noProbe],
  ["cascade_avg_flow_temp_c_water", "°C", "float", -60, 200, noProbe],
  ["cascade_min_power_heating", "%", "integer", -1, 200, noRegister],
  ["cascade_max_power_heating", "%", "integer", -1, 200, noRegister],
  ["cascade_min_power_cooling", "%", "integer", -1, 200, noRegister],
  ["cascade_max_power_cooling", "%", "integer", -1, 200, noRegister],
  ["cascade_min_power_water", "%", "integer", -1, 200, noRegister],
  ["cascade_max_power_water", "%", "integer", -1, 200, noRegister],
  ["cascade_bivalence_heating_parallel", "°C", "integer", -60, 200, noRegister],
  ["cascade_bivalence_heating_alternative", "°C", "integer", -60, 200, noRegister],
  ["cascade_bivalence_cooling_parallel", "°C", "integer", -60, 200, noRegister],
  ["cascade_bivalence_cooling_alternative", "°C", "integer", -60, 200, noRegister],
  ["cascade_bivalence_water_parallel", "°C", "integer", -60, 200, noRegister],
  ["cascade_bivalence_water_alternative", "°C", "integer", -60, 200, noRegister],
  ["humidity", "%", "float", -1, 110, noProbe],
  ["temp_external_outdoor", "°C", "float", -60, 200, noProbe],
  ["temp_external_humidity", "%", "float", -1, 110, noProbe],
  ["temp_external_request_heating", "°C", "integer", -60, 200, noRegister],
  ["temp_external_request_cooling", "°C", "integer", -60, 200, noRegister],
  ["temp_request_glt_heizen", "°C", "float", -60, 200, noProbe],
  ["temp_request_glt_kuehlen_100", "°C", "float", -60, 200, noProbe],
  ["request_pump_ground_water_external", null, "integer", 0, 65535, noRegister],
  ["request_pump_ground_water_max_external", null, "integer", 0, 65535, noRegister],
  ["temp_heat_storage_glt", "°C", "float", -60, 200, noProbe],
  ["temp_cold_storage_glt", "°C", "float", -60, 200, noProbe],
  ["temp_water_heater_bottom_target_glt", "°C", "float", -60, 200, noProbe],
  ["temp_water_heater_top_target_glt", "°C", "float", -60, 200, noProbe],
  ["energy_heat_heating", "kWh", "float", -1, 1e8, noProbe],
  ["energy_heat_total", "kWh", "float", -1, 1e8, noProbe],
  ["energy_heat_total_cooling", "kWh", "float", -1, 1e8, noProbe],
  ["energy_heat_total_water", "kWh", "float", -1, 1e8, noProbe],
  ["energy_heat_total_defrost", "kWh", "float", -1, 1e8, noProbe],
  ["energy_heat_total_passive_cooling", "kWh", "float", -1, 1e8, noProbe],
  ["energy_heat_total_solar", "kWh", "float", -1, 1e8, noProbe],
  ["energy_heat_total_electric", "kWh", "float", -1, 1e8, noProbe],
  ["power_current", "kW", "float", -1000, 1000, noProbe],
  ["power_current_solar", "kW", "float", -1000, 1000, noProbe],
  ["temp_solar_collector", "°C", "float", -60, 350, noProbe],
  ["temp_solar_collector_return", "°C", "float", -60, 350, noProbe],
  ["temp_solar_charge", "°C", "float", -60, 350, noProbe],
  ["mode_solar", null, "enum", 0, 255, noRegister, solarModes],
  ["temp_solar_reference", "°C", "float", -60, 350, noProbe],
  ["temp_isc_charge_cooling", "°C", "float", -60, 200, noProbe],
  ["temp_isc_recooling", "°C", "float", -60, 200, noProbe],
  ["mode_isc", null, "flags", 0, 65535, noRegister, iscBits],
  ["acknowledge_faults", null, "integer", 0, 255, noRegister],
  ["power_current_draw", "kW", "float", -1000, 1000, noProbe],
  ["power_thermal", "kW", "float", -1000, 1000, noProbe],
  ["energy_heat_total_flow_sensor", "kWh", "float", -1, 1e8, noProbe],
  ["state_compressor_1", null, "binary", 0, 1, noRegister],
  ["state_compressor_2", null, "binary", 0, 1, noRegister],
  ["state_compressor_3", null, "binary", 0, 1, noRegister],
  ["state_compressor_4", null, "binary", 0, 1, noRegister],
  ["request_water", null, "binary", 0, 1, noRegister],
  ["request_water_once", null, "binary", 0, 1, noRegister],
  ["temp_flow_current_circuit_{a..g}", "°C", "float", -60, 200, noProbe],
  ["temp_room_circuit_{a..g}", "°C", "float", -60, 120, noProbe],
  ["temp_flow_target_circuit_{a..g}", "°C", "float", -60, 200, noProbe],
  ["mode_circuit_{a..g}", null, "enum", 0, 255, noRegister, circuitModes],
  ["temp_room_target_heating_normal_circuit_{a..g}", "°C", "float", -60, 120, noProbe],
  ["temp_room_target_heating_eco_circuit_{a..g}", "°C", "float", -60, 120, noProbe],
  ["curve_circuit_{a..g}", null, "float", -10, 100, noProbe],
  ["temp_threshold_heating_circuit_{a..g}", "°C", "integer", -60, 200, noRegister],
  ["temp_flow_target_constant_circuit_{a..g}", "°C", "integer", -60, 200, noRegister],
  ["temp_room_target_cooling_normal_circuit_{a..g}", "°C", "float", -60, 120, noProbe],
  ["temp_room_target_cooling_eco_circuit_{a..g}", "°C", "float", -60, 120, noProbe],
  ["temp_threshold_cooling_circuit_{a..g}", "°C", "integer", -60, 200, noRegister],
  ["temp_flow_target_cooling_circuit_{a..g}", "°C", "integer", -60, 200, noRegister],
  ["mode_active_circuit_{a..g}", null, "enum", 0, 255, noRegister, activeModes],
  ["curve_offset_{a..g}", "°C", "integer", 0, 65535, noRegister],
  ["temp_external_room_{a..g}", "°C", "float", -60, 120, noProbe],
  ["mode_zone_{1..10}", null, "enum", 0, 255, noRegister, coolingOrHeating],
  ["dehumidifier_zone_{1..10}", null, "integer", 0, 255, noRegister],
  ["temp_room_zone_{1..10}_room_{1..8}", "°C", "float", -60, 120, noProbe],
  ["temp_target_zone_{1..10}_room_{1..8}", "°C", "float", -60, 120, noProbe],
  ["humidity_zone_{1..10}_room_{1..8}", "%", "integer", -1, 110, noRegister],
  ["mode_zone_{1..10}_room_{1..8}", null, "enum", 0, 255, noRegister, roomModes],
  ["relay_zone_{1..10}_room_{1..8}", null, "integer", 0, 255, noRegister],
  ["relay_zone_{1..10}_room_9", null, "integer", 0, 255, noRegister]
]

/** The rows as sensors; names still hold their templates. */
export const sensorTable: ReadonlyArray<Sensor> = rows.map(([name, unit, kind, min, max, absent, members]) => ({
  name,
  unit,
  kind,
  min,
  max,
  absent,
  ...(members === undefined ? {} : { members })
}))
