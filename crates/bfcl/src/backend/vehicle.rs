//! `VehicleControlAPI`: a car's engine, doors, climate and brakes, and what its driver asks of the
//! way.

use std::sync::Arc;

use python::{
    Comparison, Dict, Exception, Value, add, compare, divide, float_of, multiply, subtract,
};

use super::configuration::Configuration;
use super::operations::set_field;
use super::{Arguments, Backend, DefaultValue, Method, dict, error, method, optional, required};
use crate::tables::Tables;
use crate::twister::Twister;

const MODULE: &str = "vehicle_control";
const SEED: u64 = 141_053;
/// Gallons.
const TANK_CAPACITY: i64 = 50;
const MILES_PER_GALLON: f64 = 20.0;
const GALLONS_PER_LITER: f64 = 0.264172;
const LITERS_PER_GALLON: f64 = 3.78541;
/// Newtons of a pedal that is pressed fully.
const FULL_BRAKE: f64 = 1000.0;

/// Names are those of the original's attributes, and of its configuration.
pub(super) struct VehicleControlApi {
    random: Twister,
    tables: Arc<Tables>,
    long_context: bool,
    fuel_level: Value,
    battery_voltage: Value,
    engine_state: Value,
    remaining_unlocked_doors: i64,
    /// Doors to "locked" or "unlocked".
    door_status: Dict,
    ac_temperature: Value,
    fan_speed: Value,
    ac_mode: Value,
    humidity_level: Value,
    head_light_status: Value,
    parking_brake_status: Value,
    parking_brake_force: Value,
    slope_angle: Value,
    brake_pedal_status: Value,
    brake_pedal_force: Value,
    distance_to_next_vehicle: Value,
    cruise_status: Value,
    destination: Value,
    /// Front left, front right, rear left, rear right.
    tire_pressures: [Value; 4],
}

const TIRES: [&str; 4] = [
    "frontLeftTirePressure",
    "frontRightTirePressure",
    "rearLeftTirePressure",
    "rearRightTirePressure",
];

impl VehicleControlApi {
    pub(super) const CLASS: &'static str = "VehicleControlAPI";

    pub(super) fn open(configuration: Configuration<'_>) -> Result<Self, Exception> {
        let door_status = configuration.dict("doorStatus")?;
        let locked = door_status
            .values()
            .filter(|status| status.as_str() == Some("locked"))
            .count();
        Ok(Self {
            random: configuration.random(SEED)?,
            tables: Arc::clone(configuration.tables),
            long_context: configuration.long_context,
            fuel_level: configuration.value("fuelLevel"),
            battery_voltage: configuration.value("batteryVoltage"),
            engine_state: configuration.value_as("engineState", "engine_state"),
            remaining_unlocked_doors: 4 - i64::try_from(locked).expect("a car has few doors"),
            door_status,
            ac_temperature: configuration.value("acTemperature"),
            fan_speed: configuration.value("fanSpeed"),
            ac_mode: configuration.value("acMode"),
            humidity_level: configuration.value("humidityLevel"),
            head_light_status: configuration.value("headLightStatus"),
            parking_brake_status: configuration.value("parkingBrakeStatus"),
            parking_brake_force: configuration.value_as("parkingBrakeForce", "_parkingBrakeForce"),
            slope_angle: configuration.value_as("slopeAngle", "_slopeAngle"),
            brake_pedal_status: configuration.value("brakePedalStatus"),
            brake_pedal_force: configuration.value("brakePedalForce"),
            distance_to_next_vehicle: configuration.value("distanceToNextVehicle"),
            cruise_status: configuration.value("cruiseStatus"),
            destination: configuration.value("destination"),
            tire_pressures: TIRES.map(|tire| configuration.value(tire)),
        })
    }

    fn start_engine(&mut self, mode: &Value) -> Result<Value, Exception> {
        if mode.as_str() == Some("STOP") {
            self.engine_state = "stopped".into();
        }
        if self.remaining_unlocked_doors > 0 {
            let unlocked = self
                .door_status
                .iter()
                .filter(|(_, status)| status.as_str() == Some("unlocked"));
            let unlocked: Vec<_> = unlocked.map(|(door, _)| door.to_string()).collect();
            return error(format!(
                "All doors must be locked before starting the engine. \
                 Here are the unlocked doors: {}",
                unlocked.join(", ")
            ));
        }
        if self.brake_pedal_status.as_str() != Some("pressed") {
            return error("Brake pedal needs to be pressed when starting the engine.");
        }
        if self.brake_pedal_force != Value::Float(FULL_BRAKE) {
            return error("Must press the brake fully before starting the engine.");
        }
        if compare(&self.fuel_level, Comparison::Less, &Value::Int(0))? {
            return error("Fuel tank is empty.");
        }
        if mode.as_str() != Some("START") {
            return error("Invalid ignition mode.");
        }
        self.engine_state = "running".into();
        Ok(dict([
            ("engineState", self.engine_state.clone()),
            ("fuelLevel", self.fuel_level.clone()),
            ("batteryVoltage", self.battery_voltage.clone()),
        ]))
    }

    fn fill_fuel_tank(&mut self, amount: &Value) -> Result<Value, Exception> {
        if compare(amount, Comparison::Less, &Value::Int(0))? {
            return error("Fuel amount cannot be negative.");
        }
        let filled = add(&self.fuel_level, amount)?;
        if compare(&filled, Comparison::Greater, &Value::Int(TANK_CAPACITY))? {
            return error("Cannot fill gas above the tank capacity.");
        }
        self.fuel_level = filled;
        Ok(dict([("fuelLevel", self.fuel_level.clone())]))
    }

    fn lock_doors(&mut self, unlock: &Value, doors: &Value) -> Result<Value, Exception> {
        let (status, change) = if unlock.is_true() {
            ("unlocked", 1)
        } else {
            ("locked", -1)
        };
        for door in doors.iterate()? {
            if self.door_status.item(&door)?.as_str() != Some(status) {
                self.door_status.insert_key(door, status.into())?;
                self.remaining_unlocked_doors += change;
            }
        }
        Ok(dict([
            ("lockStatus", status.into()),
            (
                "remainingUnlockedDoors",
                self.remaining_unlocked_doors.into(),
            ),
        ]))
    }

    fn adjust_climate_control(&mut self, arguments: &Arguments) -> Result<Value, Exception> {
        let [temperature, unit, fan_speed, mode] =
            ["temperature", "unit", "fanSpeed", "mode"].map(|name| &arguments[name]);
        if !is_between(0, fan_speed, 100)? {
            return error("Fan speed must be between 0 and 100.");
        }
        // What cannot be converted stays as it was given.
        self.ac_temperature = temperature.clone();
        if unit.as_str() == Some("fahrenheit") {
            let above_freezing = subtract(temperature, &Value::Int(32))?;
            self.ac_temperature =
                divide(&multiply(&above_freezing, &Value::Int(5))?, &Value::Int(9))?;
        }
        self.fan_speed = fan_speed.clone();
        self.ac_mode = mode.clone();
        Ok(dict([
            ("currentACTemperature", temperature.clone()),
            ("climateMode", mode.clone()),
            ("humidityLevel", self.humidity_level.clone()),
        ]))
    }

    fn get_outside_temperature_from_google(&mut self) -> Result<Value, Exception> {
        let mut weather = if self.long_context {
            self.tables.long_context("LONG_WEATHER_EXTENSION")?.clone()
        } else {
            Dict::new().into()
        };
        set_field(
            &mut weather,
            "outsideTemperature",
            self.random.uniform(-10.0, 40.0),
        )?;
        Ok(weather)
    }

    fn set_headlights(&mut self, mode: &Value) -> Result<Value, Exception> {
        let status = match mode.as_str() {
            Some("on") => "on",
            Some("off" | "auto") => "off",
            _ => return error("Invalid headlight mode."),
        };
        self.head_light_status = status.into();
        Ok(dict([("headlightStatus", status.into())]))
    }

    fn display_car_status(&self, option: &Value) -> Result<Value, Exception> {
        let shown = match option.as_str() {
            Some("fuel") => Dict::from([("fuelLevel", self.fuel_level.clone())]),
            Some("battery") => Dict::from([("batteryVoltage", self.battery_voltage.clone())]),
            Some("doors") => Dict::from([("doorStatus", self.door_status.clone().into())]),
            Some("climate") => Dict::from([
                ("currentACTemperature", self.ac_temperature.clone()),
                ("fanSpeed", self.fan_speed.clone()),
                ("climateMode", self.ac_mode.clone()),
                ("humidityLevel", self.humidity_level.clone()),
            ]),
            Some("headlights") => Dict::from([("headlightStatus", self.head_light_status.clone())]),
            Some("parkingBrake") => Dict::from([
                ("parkingBrakeStatus", self.parking_brake_status.clone()),
                ("parkingBrakeForce", self.parking_brake_force.clone()),
                ("slopeAngle", self.slope_angle.clone()),
            ]),
            Some("brakePedal") => Dict::from([
                ("brakePedalStatus", self.brake_pedal_status.clone()),
                ("brakePedalForce", self.brake_pedal_force.clone()),
            ]),
            Some("engine") => Dict::from([("engineState", self.engine_state.clone())]),
            _ => Dict::from([("error", "Invalid option".into())]),
        };
        if !self.long_context {
            return Ok(shown.into());
        }
        let metadata = self.tables.long_context("CAR_STATUS_METADATA_EXTENSION")?;
        let mut status = Dict::from([("metadata", metadata.clone())]);
        for (name, value) in shown.iter() {
            status.insert_key(name.clone(), value.clone())?;
        }
        Ok(status.into())
    }

    fn activate_parking_brake(&mut self, mode: &Value) -> Result<Value, Exception> {
        let (status, force) = match mode.as_str() {
            Some("engage") => ("engaged", 500.0),
            Some("release") => ("released", 0.0),
            _ => return error("Invalid mode"),
        };
        self.parking_brake_status = status.into();
        self.parking_brake_force = force.into();
        self.slope_angle = 10.0.into();
        let mut brake = Dict::new();
        if self.long_context {
            brake.insert(
                "parkingBrakeInstruction",
                self.tables
                    .long_context("PARKING_BRAKE_INSTRUCTION")?
                    .clone(),
            );
        }
        brake.insert("parkingBrakeStatus", status);
        brake.insert("_parkingBrakeForce", force);
        brake.insert("_slopeAngle", 10.0);
        Ok(Value::Dict(brake))
    }

    fn press_brake_pedal(&mut self, position: &Value) -> Result<Value, Exception> {
        if !is_between(0, position, 1)? {
            return error("Pedal position must be between 0 and 1.");
        }
        if *position == Value::Int(0) {
            return Ok(self.release_brake_pedal());
        }
        let force = float_of(&multiply(position, &Value::Float(FULL_BRAKE))?)?;
        Ok(self.set_brake_pedal("pressed", force))
    }

    fn release_brake_pedal(&mut self) -> Value {
        self.set_brake_pedal("released", 0.0)
    }

    fn set_brake_pedal(&mut self, status: &str, force: f64) -> Value {
        self.brake_pedal_status = status.into();
        self.brake_pedal_force = force.into();
        dict([
            ("brakePedalStatus", status.into()),
            ("brakePedalForce", force.into()),
        ])
    }

    fn set_cruise_control(
        &mut self,
        speed: &Value,
        activate: &Value,
        distance: &Value,
    ) -> Result<Value, Exception> {
        let distance = float_of(distance)?;
        let speed = float_of(speed)?;
        if self.engine_state.as_str() == Some("stopped") {
            return error("Start the engine before activating the cruise control.");
        }
        self.distance_to_next_vehicle = distance.into();
        let is_allowed = (0.0..=120.0).contains(&speed) && speed % 5.0 == 0.0;
        let status = match activate.is_true() {
            true if !is_allowed => return error("Invalid speed"),
            true => "active",
            false => "inactive",
        };
        self.cruise_status = status.into();
        Ok(dict([
            ("cruiseStatus", status.into()),
            ("currentSpeed", speed.into()),
            ("distanceToNextVehicle", distance.into()),
        ]))
    }

    /// Whether the fuel lasts for a distance, in miles.
    fn estimate_drive_feasibility_by_mileage(&self, distance: &Value) -> Result<Value, Exception> {
        let range = multiply(&self.fuel_level, &Value::Float(MILES_PER_GALLON))?;
        Ok(dict([(
            "canDrive",
            (!compare(&range, Comparison::Less, distance)?).into(),
        )]))
    }

    fn estimate_distance(&self, from: &Value, to: &Value) -> Result<Value, Exception> {
        let mut answer = Dict::new();
        let mut rows = self
            .tables
            .list(MODULE, "distances")?
            .iter()
            .filter_map(Value::as_list);
        let row = rows.find(|row| match row {
            [one, other, _] => [one, other] == [from, to] || [other, one] == [from, to],
            _ => false,
        });
        match row {
            Some(row) => answer.insert("distance", row[2].clone()),
            None => answer.insert("error", "distance not found in database."),
        }
        if self.long_context {
            answer.insert(
                "intermediaryCities",
                self.tables.long_context("INTERMEDIARY_CITIES")?.clone(),
            );
        }
        Ok(Value::Dict(answer))
    }

    fn get_zipcode_based_on_city(&self, city: &Value) -> Result<Value, Exception> {
        let zipcodes = self.tables.dict(MODULE, "zipcodes")?;
        let zipcode = city.as_str().and_then(|city| zipcodes.get(city));
        Ok(dict([(
            "zipcode",
            zipcode.cloned().unwrap_or_else(|| "00000".into()),
        )]))
    }

    fn set_navigation(&mut self, destination: &Value) -> Result<Value, Exception> {
        self.destination = destination.clone();
        Ok(dict([(
            "status",
            add(&"Navigating to ".into(), destination)?,
        )]))
    }

    fn check_tire_pressure(&self) -> Result<Value, Exception> {
        let mut answer = Dict::new();
        let mut sum = Value::Int(0);
        for (tire, pressure) in TIRES.into_iter().zip(&self.tire_pressures) {
            answer.insert(tire, pressure.clone());
            sum = add(&sum, pressure)?;
        }
        let mean = divide(&sum, &Value::Int(4))?;
        answer.insert("healthy_tire_pressure", is_between(30, &mean, 35)?);
        let car_info = if self.long_context {
            self.tables
                .long_context("CAR_STATUS_METADATA_EXTENSION")?
                .clone()
        } else {
            Dict::new().into()
        };
        answer.insert("car_info", car_info);
        Ok(Value::Dict(answer))
    }
}

/// `least <= value <= most`
fn is_between(least: i64, value: &Value, most: i64) -> Result<bool, Exception> {
    Ok(compare(&Value::Int(least), Comparison::LessOrEqual, value)?
        && compare(value, Comparison::LessOrEqual, &Value::Int(most))?)
}

const METHODS: &[Method] = &[
    method("activateParkingBrake", &[required("mode")]),
    method(
        "adjustClimateControl",
        &[
            required("temperature"),
            optional("unit", DefaultValue::Str("celsius")),
            optional("fanSpeed", DefaultValue::Int(50)),
            optional("mode", DefaultValue::Str("auto")),
        ],
    ),
    method("check_tire_pressure", &[]),
    method("displayCarStatus", &[required("option")]),
    method("display_log", &[required("messages")]),
    method("estimate_distance", &[required("cityA"), required("cityB")]),
    method(
        "estimate_drive_feasibility_by_mileage",
        &[required("distance")],
    ),
    method("fillFuelTank", &[required("fuelAmount")]),
    method("find_nearest_tire_shop", &[]),
    method("gallon_to_liter", &[required("gallon")]),
    method("get_current_speed", &[]),
    method("get_outside_temperature_from_google", &[]),
    method("get_outside_temperature_from_weather_com", &[]),
    method("get_zipcode_based_on_city", &[required("city")]),
    method("liter_to_gallon", &[required("liter")]),
    method("lockDoors", &[required("unlock"), required("door")]),
    method("pressBrakePedal", &[required("pedalPosition")]),
    method("releaseBrakePedal", &[]),
    method(
        "setCruiseControl",
        &[
            required("speed"),
            required("activate"),
            required("distanceToNextVehicle"),
        ],
    ),
    method("setHeadlights", &[required("mode")]),
    method("set_navigation", &[required("destination")]),
    method("startEngine", &[required("ignitionMode")]),
];

impl Backend for VehicleControlApi {
    fn class(&self) -> &'static str {
        Self::CLASS
    }

    fn methods(&self) -> &'static [Method] {
        METHODS
    }

    fn call(&mut self, method: &str, arguments: &Arguments) -> Result<Value, Exception> {
        match method {
            "startEngine" => self.start_engine(&arguments["ignitionMode"]),
            "fillFuelTank" => self.fill_fuel_tank(&arguments["fuelAmount"]),
            "lockDoors" => self.lock_doors(&arguments["unlock"], &arguments["door"]),
            "adjustClimateControl" => self.adjust_climate_control(arguments),
            "get_outside_temperature_from_google" => self.get_outside_temperature_from_google(),
            "get_outside_temperature_from_weather_com" => Ok(dict([("error", Value::Int(404))])),
            "setHeadlights" => self.set_headlights(&arguments["mode"]),
            "displayCarStatus" => self.display_car_status(&arguments["option"]),
            "activateParkingBrake" => self.activate_parking_brake(&arguments["mode"]),
            "pressBrakePedal" => self.press_brake_pedal(&arguments["pedalPosition"]),
            "releaseBrakePedal" => Ok(self.release_brake_pedal()),
            "setCruiseControl" => self.set_cruise_control(
                &arguments["speed"],
                &arguments["activate"],
                &arguments["distanceToNextVehicle"],
            ),
            "get_current_speed" => Ok(dict([(
                "currentSpeed",
                self.random.uniform(0.0, 120.0).into(),
            )])),
            "display_log" => Ok(dict([("log", arguments["messages"].clone())])),
            "estimate_drive_feasibility_by_mileage" => {
                self.estimate_drive_feasibility_by_mileage(&arguments["distance"])
            }
            "liter_to_gallon" => Ok(dict([(
                "gallon",
                multiply(&arguments["liter"], &Value::Float(GALLONS_PER_LITER))?,
            )])),
            "gallon_to_liter" => Ok(dict([(
                "liter",
                multiply(&arguments["gallon"], &Value::Float(LITERS_PER_GALLON))?,
            )])),
            "estimate_distance" => self.estimate_distance(&arguments["cityA"], &arguments["cityB"]),
            "get_zipcode_based_on_city" => self.get_zipcode_based_on_city(&arguments["city"]),
            "set_navigation" => self.set_navigation(&arguments["destination"]),
            "check_tire_pressure" => self.check_tire_pressure(),
            "find_nearest_tire_shop" => Ok(dict([(
                "shopLocation",
                "456 Oakwood Avenue, Rivermist, 83214".into(),
            )])),
            _ => unreachable!("`{method}` is in no table"),
        }
    }

    fn state(&self) -> Dict {
        Dict::from([
            ("fuelLevel", self.fuel_level.clone()),
            ("batteryVoltage", self.battery_voltage.clone()),
            ("engine_state", self.engine_state.clone()),
            (
                "remainingUnlockedDoors",
                self.remaining_unlocked_doors.into(),
            ),
            ("doorStatus", self.door_status.clone().into()),
            ("acTemperature", self.ac_temperature.clone()),
            ("fanSpeed", self.fan_speed.clone()),
            ("acMode", self.ac_mode.clone()),
            ("humidityLevel", self.humidity_level.clone()),
            ("headLightStatus", self.head_light_status.clone()),
            ("parkingBrakeStatus", self.parking_brake_status.clone()),
            ("brakePedalStatus", self.brake_pedal_status.clone()),
            (
                "distanceToNextVehicle",
                self.distance_to_next_vehicle.clone(),
            ),
            ("cruiseStatus", self.cruise_status.clone()),
            ("destination", self.destination.clone()),
            ("frontLeftTirePressure", self.tire_pressures[0].clone()),
            ("frontRightTirePressure", self.tire_pressures[1].clone()),
            ("rearLeftTirePressure", self.tire_pressures[2].clone()),
            ("rearRightTirePressure", self.tire_pressures[3].clone()),
            ("long_context", self.long_context.into()),
        ])
    }
}
